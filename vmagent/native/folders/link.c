#define _GNU_SOURCE
#include "link.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD 16 /* of a frame and a request: length, number, operation, flags, 2 zero bytes */
#define REPLY_HEAD 16
#define ROOM (8u << 20)
enum {
    FIRST_PAUSE_MS = 20,
    LONGEST_PAUSE_MS = 500,
    INTERRUPT_MS = 1000, /* how long a reply may take when the caller was interrupted */
};
enum stage { AWAY, GREETING, REOPENING, READY };

static struct {
    int fd;
    const char *path;
    enum stage stage;
    uint8_t session[SESSION_SIZE];
    int64_t again_at_ms, away_since_ms, looked_ms;
    int pause_ms, limit_ms;
    uint32_t reopening; /* requests that must be replied to before the others are sent again */
    uint64_t last_number;
    struct request *first, *last;
    uint8_t *out;
    size_t out_begin, out_end, out_capacity;
    uint8_t *in;
    size_t in_end, in_capacity;
} peer;

static struct link_events on;

void link_on(struct link_events events) { on = events; }

static void reserve(uint8_t **bytes, size_t *capacity, size_t needed) {
    if (needed <= *capacity) return;
    size_t larger = *capacity ? *capacity : 4096;
    while (larger < needed) larger *= 2;
    if (!(*bytes = realloc(*bytes, larger))) abort();
    *capacity = larger;
}

static void queue(const struct request *request) {
    if (peer.out_begin == peer.out_end) peer.out_begin = peer.out_end = 0;
    reserve(&peer.out, &peer.out_capacity, peer.out_end + request->length);
    memcpy(peer.out + peer.out_end, request->frame, request->length);
    peer.out_end += request->length;
}

void put_bytes(struct request *request, const void *bytes, size_t length) {
    reserve(&request->frame, &request->capacity, request->length + length);
    if (length) memcpy(request->frame + request->length, bytes, length);
    request->length += length;
}

void put_u32(struct request *request, uint32_t value) { put_bytes(request, &value, sizeof value); }
void put_u64(struct request *request, uint64_t value) { put_bytes(request, &value, sizeof value); }

void put_string(struct request *request, const char *text, size_t length) {
    uint16_t length16 = (uint16_t)length;
    put_bytes(request, &length16, sizeof length16);
    put_bytes(request, text, length);
}

bool put_path(struct request *request, const struct node *node, const char *name) {
    static char path[PATH_LIMIT];
    long length = path_of(node, name, name ? strlen(name) : 0, path);
    if (length < 0) return false;
    put_string(request, path, (size_t)length);
    return true;
}

struct request *request_new(enum operation operation, reply_handler *on_reply) {
    struct request *request = calloc(1, sizeof *request);
    if (!request) abort();
    request->on_reply = on_reply;
    uint8_t head[HEAD] = {0};
    head[12] = (uint8_t)operation;
    put_bytes(request, head, sizeof head);
    return request;
}

static void finish_frame(struct request *request) {
    uint32_t length = (uint32_t)(request->length - 4);
    request->number = ++peer.last_number;
    request->asked_at = ++tick;
    request->asked_at_ms = now_ms();
    memcpy(request->frame, &length, 4);
    memcpy(request->frame + 4, &request->number, 8);
}

static void append(struct request *request) {
    request->previous = peer.last;
    if (peer.last) peer.last->next = request;
    else peer.first = request;
    peer.last = request;
}

static void take_out(struct request *request) {
    if (request->previous) request->previous->next = request->next;
    else peer.first = request->next;
    if (request->next) request->next->previous = request->previous;
    else peer.last = request->previous;
}

void request_free(struct request *request) {
    if (request->node) node_release(request->node);
    if (request->other) node_release(request->other);
    free((void *)request->name);
    free((void *)request->other_name);
    free(request->frame);
    free(request);
}

void request_send(struct request *request) {
    finish_frame(request);
    if (request->node) node_hold(request->node);
    if (request->other) node_hold(request->other);
    append(request);
    if (peer.stage != READY && request->frame[12] != HELLO) return;
    request->is_sent = true;
    queue(request);
}

void request_cast(struct request *request) {
    finish_frame(request);
    if (peer.stage == READY) queue(request); /* a session that is lost has lost what this would close */
    request_free(request);
}

/* Forget a request that gets no reply any more. */
static void drop(struct request *request) {
    take_out(request);
    if (request->handle) handle_remove(request->handle);
    request_free(request);
}

static void reply(struct request *request, int error, const uint8_t *body, size_t length) {
    take_out(request);
    request->on_reply(request, error, body, length);
    request_free(request);
}

static void disconnect(void) {
    if (peer.fd >= 0) close(peer.fd);
    peer.fd = -1;
    if (peer.stage != AWAY) peer.away_since_ms = now_ms();
    peer.stage = AWAY;
    peer.in_end = peer.out_begin = peer.out_end = 0;
    peer.again_at_ms = now_ms() + peer.pause_ms;
    peer.pause_ms = peer.pause_ms * 2 < LONGEST_PAUSE_MS ? peer.pause_ms * 2 : LONGEST_PAUSE_MS;
    /* The greeting, what opens files again, and what was given up. */
    for (struct request *request = peer.first, *next; request; request = next) {
        next = request->next;
        if (!request->unique) drop(request);
    }
}

static void resume(void) {
    peer.stage = READY;
    peer.pause_ms = FIRST_PAUSE_MS;
    for (struct request *request = peer.first; request; request = request->next) {
        if (request->is_sent) request->frame[13] |= REPEATED;
        request->is_sent = true;
        request->asked_at_ms = now_ms();
        queue(request);
    }
    on.connected();
}

static void on_reopened(struct request *request, int error, const uint8_t *body, size_t length) {
    (void)body, (void)length;
    struct handle *handle = handle_find(request->offset);
    if (handle && error) handle->is_lost = true;
    if (--peer.reopening == 0 && peer.stage == REOPENING) resume();
}

static void reopen(struct handle *handle) {
    if (handle->is_folder || !handle->is_on_host || handle->is_lost) return;
    struct request *request = request_new(OPEN, on_reopened);
    put_u64(request, handle->id);
    if (handle->node->is_detached || !put_path(request, handle->node, NULL)) {
        handle->is_lost = true; /* a removed file that only the lost session held */
        request_free(request);
        return;
    }
    put_u32(request, handle->flags & (OPEN_WRITE | OPEN_READ_WRITE));
    put_u64(request, handle->node->attr.dev);
    put_u64(request, handle->node->attr.ino);
    request->offset = handle->id;
    finish_frame(request);
    /* In front of all others. */
    request->next = peer.first;
    if (peer.first) peer.first->previous = request;
    else peer.last = request;
    peer.first = request;
    peer.reopening++;
    queue(request);
}

static void on_hello(struct request *request, int error, const uint8_t *body, size_t length) {
    (void)request;
    uint32_t known = 0;
    if (error || length < 8) {
        fprintf(stderr, "folders: the host refused: %s\n", strerror(error));
        if (!peer.path) exit(1);
        disconnect();
        return;
    }
    memcpy(&known, body + 4, 4);
    peer.reopening = 0;
    peer.stage = REOPENING;
    if (!known) handles_each(reopen);
    if (!peer.reopening) resume();
}

static void greet(void) {
    peer.stage = GREETING;
    struct request *request = request_new(HELLO, on_hello);
    put_u32(request, PROTOCOL);
    put_bytes(request, peer.session, sizeof peer.session);
    request_send(request);
}

static void try_connect(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, peer.path, sizeof address.sun_path - 1);
    peer.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (peer.fd >= 0 && connect(peer.fd, (struct sockaddr *)&address, sizeof address) == 0) greet();
    else disconnect();
}

void link_set_up(int fd, const char *path, int limit_ms) {
    peer.limit_ms = limit_ms;
    peer.path = path;
    peer.fd = fd;
    peer.pause_ms = FIRST_PAUSE_MS;
    if (getrandom(peer.session, sizeof peer.session, 0) != sizeof peer.session) abort();
    peer.away_since_ms = now_ms();
    if (fd >= 0) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        greet();
    }
}

struct pollfd link_poll(void) {
    short events = peer.out_begin < peer.out_end ? POLLIN | POLLOUT : POLLIN;
    return (struct pollfd){.fd = peer.fd, .events = events};
}

int link_wait_ms(void) {
    int64_t now = now_ms(), until = -1;
    if (peer.fd < 0) until = peer.again_at_ms;
    if (peer.first && (until < 0 || until > peer.looked_ms + INTERRUPT_MS / 4)) until = peer.looked_ms + INTERRUPT_MS / 4;
    return until < 0 ? -1 : until <= now ? 0 : (int)(until - now);
}

bool link_is_ready(void) { return peer.stage == READY; }
bool link_has_room(void) { return peer.out_end - peer.out_begin < ROOM; }

static bool flush(void) {
    while (peer.out_begin < peer.out_end) {
        ssize_t count = send(peer.fd, peer.out + peer.out_begin, peer.out_end - peer.out_begin, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return errno == EAGAIN;
        peer.out_begin += (size_t)count;
    }
    return true;
}

/* Handle one frame. Returns false where it is none of the protocol. */
static bool take_frame(const uint8_t *frame, size_t length) {
    uint64_t number;
    int32_t error;
    if (length < REPLY_HEAD - 4) return false;
    memcpy(&number, frame, 8);
    memcpy(&error, frame + 8, 4);
    if (!number) {
        on.notice(error, frame + 12, length - 12);
        return true;
    }
    struct request *request = peer.first;
    while (request && request->number != number) request = request->next;
    if (request) reply(request, error, frame + 12, length - 12);
    return true; /* else it was given up before */
}

static bool receive(void) {
    for (;;) {
        reserve(&peer.in, &peer.in_capacity, peer.in_end + 65536);
        ssize_t count = recv(peer.fd, peer.in + peer.in_end, peer.in_capacity - peer.in_end, 0);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return count < 0 && errno == EAGAIN;
        peer.in_end += (size_t)count;
        size_t at = 0;
        while (peer.in_end - at >= 4) {
            uint32_t length;
            memcpy(&length, peer.in + at, 4);
            if (length > FRAME_LIMIT) return false;
            if (peer.in_end - at - 4 < length) break;
            if (!take_frame(peer.in + at + 4, length)) return false;
            if (peer.stage == AWAY) return true; /* it was given up */
            at += 4 + length;
        }
        memmove(peer.in, peer.in + at, peer.in_end - at);
        peer.in_end -= at;
    }
}

/* Give up requests whose caller was interrupted, or for which the host has been away too long. */
static void give_up(void) {
    int64_t now = now_ms();
    if (!peer.first || now - peer.looked_ms < INTERRUPT_MS / 4) return;
    peer.looked_ms = now;
    for (struct request *request = peer.first, *next; request; request = next) {
        next = request->next;
        if (!request->unique) continue;
        bool is_late = now - request->asked_at_ms > peer.limit_ms;
        bool is_interrupted = request->is_interrupted &&
                              (peer.stage != READY || now - request->asked_at_ms > INTERRUPT_MS);
        if (is_late || is_interrupted) {
            on.give_up(request->unique, is_interrupted ? EINTR : EIO);
            request->unique = 0;
        }
        if (request->unique || (request->is_sent && peer.stage == READY)) continue;
        drop(request); /* the host will not hear of it, or not again */
    }
}

bool link_work(short events) {
    bool is_whole = true;
    if (peer.fd >= 0 && events & (POLLIN | POLLHUP | POLLERR)) is_whole = receive();
    if (is_whole && peer.fd >= 0) is_whole = flush();
    if (!is_whole) {
        if (!peer.path) return false;
        disconnect();
    }
    if (peer.fd < 0 && now_ms() >= peer.again_at_ms) {
        try_connect();
        if (peer.fd >= 0) flush();
    }
    give_up();
    return true;
}

void link_on_interrupt(uint64_t unique) {
    for (struct request *request = peer.first; request; request = request->next)
        if (request->unique == unique) request->is_interrupted = true;
    peer.looked_ms = 0;
    give_up();
}
