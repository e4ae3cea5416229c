// What went wrong, in words for the person in front of the screen. Everything that is thrown on
// purpose is a `Problem`: a sentence, and where there is one, what to do about it.

export class Problem extends Error {
  constructor(
    message: string,
    readonly advice = '',
    /** The server's status, where it was a server that said no. */
    readonly status = 0,
  ) {
    super(message);
  }
}

/** The words for an answer of the server's that is no success. */
export function ofStatus(status: number, what: string): Problem {
  switch (status) {
    case 401:
    case 403:
      return new Problem(`The server does not let you ${what}.`, 'Check your token in Settings.', status);
    case 404:
      return new Problem(`There is nothing here to ${what}.`, 'It may have ended, or have another name.', status);
    case 406:
    case 415:
      return new Problem(`The server and this browser have no codec in common.`, '', status);
    case 409:
      return new Problem('Somebody else has this name already.', 'Choose another name.', status);
    case 413:
      return new Problem('That was more than the server takes.', '', status);
    case 429:
      return new Problem('Too many tries.', 'Wait a moment, then try again.', status);
    case 503:
      return new Problem('The server is full, or just starting.', 'Try again in a moment.', status);
    default:
      return new Problem(`The server could not ${what} (status ${status}).`, '', status);
  }
}

/** Whatever was caught, as a problem. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof DOMException) return ofDevice(error);
  if (error instanceof TypeError) {
    return new Problem('The server cannot be reached.', 'Check the network, then try again.');
  }
  return new Problem(error instanceof Error ? error.message : String(error));
}

function ofDevice(error: DOMException): Problem {
  switch (error.name) {
    case 'NotAllowedError':
      return new Problem(
        'The browser was not allowed to use the camera, microphone or screen.',
        'Allow it in the address bar, then try again.',
      );
    case 'NotFoundError':
      return new Problem('There is no camera or microphone here.', 'Plug one in, or share the screen.');
    case 'NotReadableError':
      return new Problem('The device is in use by another program.', 'Close that program, then try again.');
    case 'OverconstrainedError':
      return new Problem('The device cannot do what was asked.', 'Choose another device or size.');
    case 'AbortError':
      return new Problem('It was stopped.');
    default:
      return new Problem(error.message || error.name);
  }
}
