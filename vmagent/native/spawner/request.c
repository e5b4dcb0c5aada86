/* Reading a request, and reporting. */
#define _GNU_SOURCE
#include "spawner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int fds[MAX_FDS];
int report_fd = -1, go_fd = -1, start_fd = -1, started_fd = -1;
static const char *cursor, *end;

void request_begin(const char *first, size_t length) {
    cursor = first;
    end = first + length;
}

/* A short request is a bug of the supervisor: fail, and do not make a process from a part of it. */
static const char *take(size_t length) {
    if ((size_t)(end - cursor) < length) fail(K_OTHER, 0, "the request to the spawner is too short");
    const char *at = cursor;
    cursor += length;
    return at;
}

void read_number(void *at, size_t size) { memcpy(at, take(size), size); }

int read_flag(void) { return *take(1); }

static uint64_t read_size(void) {
    uint64_t value;
    read_number(&value, sizeof value);
    return value;
}

const char *read_string(void) {
    const char *nul = memchr(cursor, 0, (size_t)(end - cursor));
    if (nul == NULL) fail(K_OTHER, 0, "a string of the request to the spawner has no end");
    return take((size_t)(nul - cursor) + 1);
}

const char *read_bytes(size_t *length) {
    *length = read_size();
    return take(*length);
}

int read_descriptor(void) {
    int32_t position;
    read_number(&position, sizeof position);
    return position < 0 || position >= MAX_FDS ? -1 : fds[position];
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (memory == NULL) fail(K_OTHER, ENOMEM, "error reading the request to the spawner");
    return memory;
}

void *read_array(size_t *count, size_t size) {
    *count = read_size();
    if (*count > (size_t)(end - cursor)) fail(K_OTHER, 0, "the request to the spawner is too short");
    return allocate(*count, size);
}

void say(const char *line) {
    size_t left = strlen(line);
    while (left > 0) {
        ssize_t done = write(report_fd, line, left);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) _exit(1);
        line += done;
        left -= (size_t)done;
    }
}

/* One line of JSON: {"kind", "errno", "error": what was being done}; the supervisor adds the kernel's words. */
void fail(const char *kind, int error, const char *format, ...) {
    static char text[8192], line[6 * sizeof text + 128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int used = snprintf(line, sizeof line, "{\"kind\":\"%s\",\"errno\":%d,\"error\":\"", kind, error);
    for (const unsigned char *c = (unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == '"' || *c == '\\')
            used += sprintf(line + used, "\\u%04x", *c);
        else
            line[used++] = (char)*c;
    }
    memcpy(line + used, "\"}\n", 4);
    say(line);
    _exit(1);
}

#define SPAWNER_READERS
#include "spawner_fields.h"

int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
