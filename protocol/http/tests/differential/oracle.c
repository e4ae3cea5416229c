/* What llhttp reads: a line of input `Q HEX` (requests) or `R HEX` (responses) is one connection's
 * bytes; the line of output has what came, in order, and how it ended:
 *
 *   H first target version   a message (hexadecimal; first is the method or the status)
 *   h name value             a header line
 *   C                        the end of the head
 *   B bytes                  a piece of the body
 *   E                        the end of the message
 *   ok | NAME                no error | the name of llhttp's
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llhttp.h"

enum { BYTES_MAX = 1 << 20 };

struct text { char bytes[1 << 16]; size_t count; };
static struct text method, status, target, name, value;
static int head_told;

static void hex(const char *at, size_t count) {
  if (count == 0) putchar('-');
  for (size_t i = 0; i < count; i++) printf("%02x", (unsigned char)at[i]);
}

static int add(struct text *to, const char *at, size_t count) {
  if (to->count + count > sizeof to->bytes) return -1;
  memcpy(to->bytes + to->count, at, count);
  to->count += count;
  return 0;
}

static int on_begin(llhttp_t *p) {
  (void)p;
  method.count = status.count = target.count = name.count = value.count = 0;
  head_told = 0;
  return 0;
}

static void tell_first(llhttp_t *p) {
  if (head_told) return;
  head_told = 1;
  printf("H ");
  if (p->type == HTTP_REQUEST) {
    hex(method.bytes, method.count);
  } else {
    char code[8];
    int count = snprintf(code, sizeof code, "%d", p->status_code);
    hex(code, (size_t)count);
  }
  putchar(' ');
  hex(target.bytes, target.count);
  printf(" %d.%d ", p->http_major, p->http_minor);
}

static int on_method(llhttp_t *p, const char *at, size_t n) { (void)p; return add(&method, at, n); }
static int on_url(llhttp_t *p, const char *at, size_t n) { (void)p; return add(&target, at, n); }
static int on_name(llhttp_t *p, const char *at, size_t n) { (void)p; return add(&name, at, n); }
static int on_value(llhttp_t *p, const char *at, size_t n) { (void)p; return add(&value, at, n); }

static int on_value_complete(llhttp_t *p) {
  tell_first(p);
  printf("h ");
  hex(name.bytes, name.count);
  putchar(' ');
  hex(value.bytes, value.count);
  putchar(' ');
  name.count = value.count = 0;
  return 0;
}

static int on_head(llhttp_t *p) { tell_first(p); printf("C "); return 0; }

static int on_body(llhttp_t *p, const char *at, size_t n) {
  (void)p;
  printf("B ");
  hex(at, n);
  putchar(' ');
  return 0;
}

static int on_end(llhttp_t *p) {
  (void)p;
  /* Trailers are header lines to llhttp; they belong to no head. */
  name.count = value.count = 0;
  printf("E ");
  return 0;
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

int main(void) {
  static char line[2 * BYTES_MAX + 8], bytes[BYTES_MAX];
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_message_begin = on_begin;
  settings.on_method = on_method;
  settings.on_url = on_url;
  settings.on_header_field = on_name;
  settings.on_header_value = on_value;
  settings.on_header_value_complete = on_value_complete;
  settings.on_headers_complete = on_head;
  settings.on_body = on_body;
  settings.on_message_complete = on_end;
  while (fgets(line, sizeof line, stdin)) {
    size_t count = strcspn(line, "\n");
    size_t length = 0;
    for (size_t i = 2; i + 1 < count; i += 2)
      bytes[length++] = (char)(digit(line[i]) * 16 + digit(line[i + 1]));
    llhttp_t parser;
    llhttp_init(&parser, line[0] == 'Q' ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
    llhttp_errno_t error = llhttp_execute(&parser, bytes, length);
    if (error == HPE_OK && line[0] == 'R') error = llhttp_finish(&parser);
    printf("%s\n", error == HPE_OK ? "ok" : llhttp_errno_name(error));
  }
  return 0;
}
