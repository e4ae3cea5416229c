/* The baseline that is to be beaten: libuv and llhttp with nothing around them.
 *
 *     server ADDRESS PORT ROOT [--gather]
 *
 * /empty is an empty 200, /1k.bin and /64k.bin are files of ROOT, read once at the start, and
 * every other path is 13 bytes. No Date, no limits, no timeouts, no routing beyond the length of
 * the path: whatever a server does beyond this is what a server costs.
 *
 * Each answer is one uv_try_write as soon as llhttp has seen the end of its request. With --gather
 * the small answers to what one read brought are copied together and written at once: no
 * server that we know of is built on libuv so, but it shows what pipelining could be.
 */
#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <uv.h>

#define READ_BYTES (64 * 1024)
#define GATHERED_BYTES (64 * 1024)

typedef struct {
    char *bytes;
    size_t length;
} text_t;

typedef struct {
    uv_tcp_t tcp; /* first, so that a handle is a connection */
    llhttp_t parser;
    size_t path_length;
    int is_closing;
} connection_t;

typedef struct {
    uv_write_t request; /* first, likewise */
    connection_t *connection;
    int is_last;
    char bytes[];
} later_t;

static char read_buffer[READ_BYTES];
static char gathered[GATHERED_BYTES];
static size_t gathered_length;
static int gathers;
static llhttp_settings_t settings;
static text_t empty, hello, kib, kib64;

static void fail(const char *what, int code) {
    fprintf(stderr, "%s: %s\n", what, uv_strerror(code));
    exit(1);
}

static void on_closed(uv_handle_t *handle) { free(handle); }

static void end(connection_t *connection) {
    if (connection->is_closing) return;
    connection->is_closing = 1;
    uv_close((uv_handle_t *)connection, on_closed);
}

static void on_written(uv_write_t *request, int status) {
    later_t *later = (later_t *)request;
    if (status < 0 || later->is_last) end(later->connection);
    free(later);
}

/* What the socket does not take at once is written later, from a copy. */
static void put(connection_t *connection, const char *bytes, size_t length, int is_last) {
    uv_stream_t *stream = (uv_stream_t *)connection;
    uv_buf_t buffer = uv_buf_init((char *)bytes, (unsigned)length);
    int taken = uv_try_write(stream, &buffer, 1);
    if (taken == UV_EAGAIN) taken = 0;
    if (taken < 0) {
        end(connection);
        return;
    }
    if ((size_t)taken == length) {
        if (is_last) end(connection);
        return;
    }
    size_t left = length - (size_t)taken;
    later_t *later = malloc(sizeof *later + left);
    if (!later) abort();
    later->connection = connection;
    later->is_last = is_last;
    memcpy(later->bytes, bytes + taken, left);
    buffer = uv_buf_init(later->bytes, (unsigned)left);
    if (uv_write(&later->request, stream, &buffer, 1, on_written) < 0) {
        free(later);
        end(connection);
    }
}

static void put_gathered(connection_t *connection, int is_last) {
    if (gathered_length == 0) return;
    size_t length = gathered_length;
    gathered_length = 0;
    put(connection, gathered, length, is_last);
}

static int on_message_begin(llhttp_t *parser) {
    ((connection_t *)parser->data)->path_length = 0;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t length) {
    (void)at;
    ((connection_t *)parser->data)->path_length += length;
    return 0;
}

static int on_message_complete(llhttp_t *parser) {
    connection_t *connection = parser->data;
    if (connection->is_closing) return 0;
    int is_last = !llhttp_should_keep_alive(parser);
    const text_t *answer = &hello;
    switch (connection->path_length) {
        case sizeof "/empty" - 1: answer = &empty; break;
        case sizeof "/1k.bin" - 1: answer = &kib; break;
        case sizeof "/64k.bin" - 1: answer = &kib64; break;
    }
    if (!gathers || answer->length > GATHERED_BYTES) {
        put_gathered(connection, 0);
        put(connection, answer->bytes, answer->length, is_last);
        return 0;
    }
    if (gathered_length + answer->length > GATHERED_BYTES) put_gathered(connection, 0);
    memcpy(gathered + gathered_length, answer->bytes, answer->length);
    gathered_length += answer->length;
    if (is_last) put_gathered(connection, 1);
    return 0;
}

static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer) {
    connection_t *connection = (connection_t *)stream;
    if (length == 0) return;
    if (length < 0) {
        end(connection);
        return;
    }
    if (llhttp_execute(&connection->parser, buffer->base, (size_t)length) != HPE_OK) {
        gathered_length = 0;
        end(connection);
        return;
    }
    if (gathers) put_gathered(connection, 0);
}

static void on_connection(uv_stream_t *listener, int status) {
    if (status < 0) return;
    connection_t *connection = calloc(1, sizeof *connection);
    if (!connection) abort();
    uv_tcp_init(listener->loop, &connection->tcp);
    if (uv_accept(listener, (uv_stream_t *)connection) != 0) {
        end(connection);
        return;
    }
    uv_tcp_nodelay(&connection->tcp, 1);
    llhttp_init(&connection->parser, HTTP_REQUEST, &settings);
    connection->parser.data = connection;
    uv_read_start((uv_stream_t *)connection, on_buffer, on_read);
}

static text_t answer(const char *body, size_t length) {
    char head[128];
    int head_length = snprintf(head, sizeof head,
                               "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", length);
    text_t text = {malloc((size_t)head_length + length + 1), (size_t)head_length + length};
    if (!text.bytes) abort();
    memcpy(text.bytes, head, (size_t)head_length);
    memcpy(text.bytes + head_length, body, length);
    return text;
}

static text_t answer_with_file(const char *root, const char *name) {
    static char body[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    size_t length = fread(body, 1, sizeof body, file);
    fclose(file);
    return answer(body, length);
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "usage: server ADDRESS PORT ROOT [--gather]\n");
        return 2;
    }
    gathers = count > 4 && strcmp(words[4], "--gather") == 0;
    signal(SIGPIPE, SIG_IGN);
    empty = answer("", 0);
    hello = answer("Hello, world!", 13);
    kib = answer_with_file(words[3], "1k.bin");
    kib64 = answer_with_file(words[3], "64k.bin");
    llhttp_settings_init(&settings);
    settings.on_message_begin = on_message_begin;
    settings.on_url = on_url;
    settings.on_message_complete = on_message_complete;

    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    struct sockaddr_in address;
    int code = uv_ip4_addr(words[1], atoi(words[2]), &address);
    if (code < 0) fail(words[1], code);
    uv_tcp_init(loop, &listener);
    code = uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
    if (code < 0) fail("bind", code);
    code = uv_listen((uv_stream_t *)&listener, 4096, on_connection);
    if (code < 0) fail("listen", code);
    return uv_run(loop, UV_RUN_DEFAULT);
}
