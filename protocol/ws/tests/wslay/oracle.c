/* What wslay makes of bytes that a WebSocket received.
 *
 * In, again and again until the end: 'S' or 'C' for the role, four bytes of length (big-endian),
 * the bytes. Out, for each: a line `OPCODE HEX` for every message and control frame (a close says
 * its code and its reason), then `end CODE` with the code that wslay itself closes with, 0 if it
 * does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

struct input {
  const uint8_t *bytes;
  size_t length;
};

static ssize_t receive(wslay_event_context_ptr context, uint8_t *buffer, size_t room, int flags,
                       void *user_data) {
  struct input *input = user_data;
  size_t length = input->length < room ? input->length : room;
  (void)flags;
  if (length == 0) {
    wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
    return -1;
  }
  memcpy(buffer, input->bytes, length);
  input->bytes += length;
  input->length -= length;
  return (ssize_t)length;
}

static ssize_t swallow(wslay_event_context_ptr context, const uint8_t *bytes, size_t length,
                       int flags, void *user_data) {
  (void)context, (void)bytes, (void)flags, (void)user_data;
  return (ssize_t)length;
}

static int mask(wslay_event_context_ptr context, uint8_t *buffer, size_t length, void *user_data) {
  (void)context, (void)user_data;
  memset(buffer, 0, length);
  return 0;
}

static void say(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message,
                void *user_data) {
  (void)context, (void)user_data;
  printf("%u ", message->opcode);
  for (size_t at = 0; at < message->msg_length; at++) {
    printf("%02x", message->msg[at]);
  }
  printf("\n");
}

int main(void) {
  const struct wslay_event_callbacks callbacks = {receive, swallow, mask, NULL, NULL, NULL, say};
  int role;
  while ((role = getchar()) != EOF) {
    uint8_t length[4];
    if (fread(length, 1, 4, stdin) != 4) {
      return 1;
    }
    size_t count = (size_t)length[0] << 24 | length[1] << 16 | length[2] << 8 | length[3];
    uint8_t *bytes = malloc(count + 1);
    if (bytes == NULL || fread(bytes, 1, count, stdin) != count) {
      return 1;
    }
    struct input input = {bytes, count};
    wslay_event_context_ptr context;
    int made = role == 'S' ? wslay_event_context_server_init(&context, &callbacks, &input)
                           : wslay_event_context_client_init(&context, &callbacks, &input);
    if (made != 0) {
      return 1;
    }
    int failed = 0;
    while (failed == 0 && input.length > 0 && wslay_event_want_read(context)) {
      failed = wslay_event_recv(context);
    }
    int by_peer = wslay_event_get_close_received(context);
    wslay_event_send(context);
    unsigned code = by_peer ? 0 : wslay_event_get_status_code_sent(context);
    printf("end %u\n", code == 1006 ? 0 : code);
    wslay_event_context_free(context);
    free(bytes);
  }
  return 0;
}
