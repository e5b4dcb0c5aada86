/* The windows of the streams, and the order in which they are read. */
#define _GNU_SOURCE
#include "streams.h"
#include "tunnel.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 1024
#define CHUNK (32 * 1024)   /* of one stream before the next one has its turn; a port takes this much at once */
#define TRIES_LIMIT 2000    /* of a connect() that finds the listener's queue full, every RETRY_MS: 10 s */
#define UNANSWERED_LIMIT 64 /* requests of the guest that the host has not answered */

/* What the host may have sent on a stream and its target has not taken yet is kept here, so many streams get less. */
#define WINDOW (512 * 1024)
#define SMALL_WINDOW (64 * 1024)
#define STREAMS_WITH_WINDOW 128

struct stream {
    uint32_t id;
    int fd;
    uint8_t kind;
    bool connecting; /* not answered yet: connect() is under way */
    bool retrying;   /* connect() is to be repeated: the listener's queue is full */
    bool asked;      /* OPEN was sent to the host and is not answered yet */
    bool readable;   /* the target may have bytes, or its end */
    bool hung_up;    /* the target's end is in its socket, maybe behind bytes */
    bool discards;   /* the target takes no more */
    bool host_ended, target_ended;
    bool is_ready, is_dead;
    bool is_watched; /* epoll knows the descriptor */
    bool awaits_room; /* an event of room in the target's socket is asked for */
    unsigned tries;
    uint32_t credit; /* bytes that we may send to the host */
    uint32_t size;   /* the window that the host was given */
    uint32_t window; /* what is left of it */
    uint32_t owed;   /* taken by the target and not credited yet */
    uint8_t *buffer; /* from the host, not taken by the target yet */
    size_t begin, end, capacity;
    char address[108];
    uint16_t port;
    struct stream *next;                   /* in its bucket, or in the list of dead ones */
    struct stream *ready_next, *ready_prev; /* in the ring of those that can be read */
};

struct service {
    char name[SERVICE_SIZE];
    int listener;
    bool is_knocked; /* programs may wait at the listener */
};

static struct {
    int epoll;
    struct service services[SERVICES_LIMIT];
    size_t service_count;
    struct stream *buckets[BUCKETS];
    struct stream *ready; /* a ring; the next one to be read */
    struct stream *dead;
    unsigned count, retrying, unanswered;
    uint64_t retried_ms; /* when connect() was last repeated */
    uint32_t last_id;    /* of ours; they are even */
} all;

void streams_set_up(int epoll) { all.epoll = epoll; }

void *streams_serve(const char *name, int listener) {
    struct service *service = &all.services[all.service_count++];
    strcpy(service->name, name); /* its caller has checked the length */
    service->listener = listener;
    return service;
}

bool streams_are_ready(void) { return all.ready != NULL; }
bool streams_are_retrying(void) { return all.retrying != 0; }

static struct stream **place(uint32_t id) {
    struct stream **at = &all.buckets[(id >> 1) % BUCKETS];
    while (*at && (*at)->id != id) at = &(*at)->next;
    return at;
}

/* Put the stream into the ring if it can be read, take it out if not. */
static void set_ready(struct stream *s) {
    uint32_t needed = s->kind == UDP ? MAX_PAYLOAD : 1; /* a datagram is never cut; the kernel drops what waits too long */
    bool ready = s->readable && s->credit >= needed && !s->connecting && !s->asked && !s->target_ended && !s->is_dead;
    if (ready == s->is_ready) return;
    s->is_ready = ready;
    if (!ready) {
        if (s->ready_next == s) {
            all.ready = NULL;
            return;
        }
        s->ready_next->ready_prev = s->ready_prev;
        s->ready_prev->ready_next = s->ready_next;
        if (all.ready == s) all.ready = s->ready_next;
    } else if (!all.ready) {
        all.ready = s->ready_next = s->ready_prev = s;
    } else { /* behind all others */
        s->ready_next = all.ready;
        s->ready_prev = all.ready->ready_prev;
        s->ready_prev->ready_next = s->ready_next->ready_prev = s;
    }
}

static void set_retrying(struct stream *s, bool retrying) {
    if (s->retrying == retrying) return;
    s->retrying = retrying;
    all.retrying += retrying ? 1 : -1u;
}

/* Events of this round may still name the stream, so its memory is freed at the round's end. */
static void drop(struct stream *s) {
    struct stream **at = place(s->id);
    if (*at == s) *at = s->next;
    s->is_dead = true;
    set_ready(s);
    set_retrying(s, false);
    if (s->asked) all.unanswered--;
    s->asked = false;
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    s->next = all.dead;
    all.dead = s;
    all.count--;
}

void streams_free_dead(void) {
    while (all.dead) {
        struct stream *s = all.dead;
        all.dead = s->next;
        free(s->buffer);
        free(s);
    }
}

static void drop_all(void) {
    for (int i = 0; i < BUCKETS; i++)
        while (all.buckets[i]) drop(all.buckets[i]);
}

static struct stream *add(uint32_t id, uint8_t kind, int fd) {
    struct stream *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->id = id;
    s->kind = kind;
    s->fd = fd;
    /* Datagrams are not kept. */
    s->size = s->window = kind == UDP || all.count < STREAMS_WITH_WINDOW ? WINDOW : SMALL_WINDOW;
    *place(id) = s;
    all.count++;
    return s;
}

static void refuse(uint32_t id, const char *why) { port_send(REFUSED, id, why, strlen(why)); }

static void reset(struct stream *s, const char *why) {
    port_send(RESET, s->id, why, strlen(why));
    drop(s);
}

/* Both directions have ended, as both ends know. */
static bool drop_if_over(struct stream *s) {
    if (!s->target_ended || !s->host_ended || s->begin < s->end) return false;
    drop(s);
    return true;
}

/* Whenever a target has read something there would be an event of room, so it is asked for only while bytes wait. */
static void watch(struct stream *s, bool awaits_room) {
    if (s->is_watched && s->awaits_room == awaits_room) return;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    if (awaits_room) event.events |= EPOLLOUT;
    if (epoll_ctl(all.epoll, s->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->fd, &event) < 0) abort();
    s->is_watched = true;
    s->awaits_room = awaits_room;
}

static void opened(struct stream *s) {
    s->connecting = false;
    port_send(OPENED, s->id, &s->size, 4);
    s->readable = true; /* an edge may have come before */
    set_ready(s);
}

/* connect() of a Unix socket says EAGAIN where the listener's queue is full, and no event tells of its room. */
static void try_connect(struct stream *s) {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    socklen_t length;
    memset(&to, 0, sizeof to);
    if (s->kind == UNIX) {
        to.local.sun_family = AF_UNIX;
        strcpy(to.local.sun_path, s->address); /* open_frame has checked its length */
        length = sizeof to.local;
    } else if (inet_pton(AF_INET, s->address, &to.v4.sin_addr) == 1) {
        to.v4.sin_family = AF_INET;
        to.v4.sin_port = htons(s->port);
        length = sizeof to.v4;
    } else if (inet_pton(AF_INET6, s->address, &to.v6.sin6_addr) == 1) {
        to.v6.sin6_family = AF_INET6;
        to.v6.sin6_port = htons(s->port);
        length = sizeof to.v6;
    } else {
        refuse(s->id, "not a numeric address");
        drop(s);
        return;
    }
    if (s->fd < 0) {
        int type = (s->kind == UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, one = 1;
        s->fd = socket(to.any.sa_family, type, 0);
        if (s->fd < 0) {
            refuse(s->id, strerror(errno));
            drop(s);
            return;
        }
        if (s->kind == TCP) setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    if (connect(s->fd, &to.any, length) == 0) {
        set_retrying(s, false);
        watch(s, false);
        opened(s);
    } else if (errno == EINPROGRESS) {
        set_retrying(s, false);
        watch(s, true);
    } else if (errno == EAGAIN && ++s->tries < TRIES_LIMIT) {
        set_retrying(s, true);
    } else {
        refuse(s->id, strerror(errno));
        drop(s);
    }
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void streams_retry(void) {
    if (!all.retrying) return;
    /* While other streams are busy, the program's rounds are much shorter than RETRY_MS. */
    uint64_t now = now_ms();
    if (now - all.retried_ms < RETRY_MS) return;
    all.retried_ms = now;
    for (int i = 0; i < BUCKETS; i++)
        for (struct stream *s = all.buckets[i], *next; s; s = next) {
            next = s->next;
            if (s->retrying) try_connect(s);
        }
}

static bool open_frame(uint32_t id, const uint8_t *payload, uint32_t length) {
    uint32_t window;
    if (length < 8 || !(id & 1) || *place(id)) return false;
    if (all.count >= STREAMS_LIMIT) {
        refuse(id, "too many streams are open");
        return true;
    }
    memcpy(&window, payload, 4);
    if (window > 1u << 30) return false;
    uint8_t kind = payload[4];
    size_t size = length - 7;
    if (kind < UNIX || kind > UDP || size >= sizeof((struct stream *)0)->address || memchr(payload + 7, 0, size)) {
        refuse(id, "not a valid target");
        return true;
    }
    struct stream *s = add(id, kind, -1);
    s->credit = window;
    s->connecting = true;
    memcpy(&s->port, payload + 5, 2);
    memcpy(s->address, payload + 7, size);
    try_connect(s);
    return true;
}

/* Take note of `count` bytes that are out of the way, and let the host send as many more when it pays. */
static void credit(struct stream *s, size_t count) {
    s->owed += (uint32_t)count;
    if (s->owed < s->size / 4 || s->host_ended) return;
    port_send(CREDIT, s->id, &s->owed, 4);
    s->window += s->owed;
    s->owed = 0;
}

/* The target takes no more, but what it has sent before is still read. Returns whether the stream was dropped. */
static bool discard(struct stream *s) {
    s->discards = true;
    size_t left = s->end - s->begin;
    s->begin = s->end = 0;
    credit(s, left);
    if (s->target_ended) {
        reset(s, "the target has closed the connection");
        return true;
    }
    return false;
}

static size_t give(struct stream *s, const uint8_t *bytes, size_t length) {
    size_t given = 0;
    while (given < length) {
        ssize_t count = send(s->fd, bytes + given, length - given, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && s->kind == UDP) return length; /* datagrams may be lost */
        if (count < 0 && errno == EAGAIN) break;
        if (count < 0) {
            s->discards = true;
            break;
        }
        given += (size_t)count;
    }
    return given;
}

/* Target: what waits, then the host's end. Returns whether the stream was dropped. */
static bool flush(struct stream *s) {
    if (s->begin < s->end) {
        size_t count = give(s, s->buffer + s->begin, s->end - s->begin);
        s->begin += count;
        credit(s, count);
        if (s->discards) return discard(s);
        if (s->begin < s->end) return false;
        s->begin = s->end = 0;
        watch(s, false);
    }
    if (s->host_ended) {
        shutdown(s->fd, SHUT_WR);
        return drop_if_over(s);
    }
    return false;
}

static void keep(struct stream *s, const uint8_t *bytes, size_t length) {
    if (s->end + length > s->capacity && s->begin) {
        memmove(s->buffer, s->buffer + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->begin = 0;
    }
    if (s->end + length > s->capacity) {
        size_t capacity = s->capacity ? s->capacity : 8192;
        while (capacity < s->end + length) capacity *= 2; /* the window bounds it */
        uint8_t *buffer = realloc(s->buffer, capacity);
        if (!buffer) abort();
        s->buffer = buffer;
        s->capacity = capacity;
    }
    memcpy(s->buffer + s->end, bytes, length);
    s->end += length;
}

static bool data_frame(struct stream *s, const uint8_t *payload, uint32_t length) {
    if (s->connecting || s->asked || s->host_ended || length > s->window) return false;
    s->window -= length;
    size_t given = 0;
    if (s->discards) given = length;
    else if (s->begin == s->end) given = give(s, payload, length);
    if (!s->discards && given < length) {
        keep(s, payload + given, length - given);
        watch(s, true);
    }
    credit(s, s->discards ? length : given);
    if (s->discards && s->target_ended) discard(s);
    return true;
}

static bool take_frame(uint8_t type, uint32_t id, const uint8_t *payload, uint32_t length) {
    uint32_t value = 0;
    if (type == OPEN) return open_frame(id, payload, length);
    struct stream *s = *place(id);
    if (!s) return true; /* it ended here while the frame was on its way */
    if (type == OPENED || type == CREDIT) {
        if (length != 4) return false;
        memcpy(&value, payload, 4);
        if (value > (1u << 30) - s->credit) return false;
    }
    switch (type) {
    case OPENED:
        if (!s->asked) return false;
        s->asked = false;
        all.unanswered--;
        s->credit = value;
        set_ready(s);
        return true;
    case REFUSED:
        if (!s->asked) return false;
        drop(s);
        return true;
    case DATA:
        return data_frame(s, payload, length);
    case CREDIT:
        s->credit += value;
        set_ready(s);
        return true;
    case END:
        if (s->connecting || s->asked || s->host_ended) return false;
        s->host_ended = true;
        flush(s);
        return true;
    case RESET:
        drop(s);
        return true;
    }
    return false;
}

const struct port_user streams = {.on_frame = take_frame, .on_end = drop_all};

void streams_event(struct stream *s, uint32_t events) {
    if (s->is_dead) return;
    if (s->connecting) {
        int error = 0;
        socklen_t size = sizeof error;
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) return;
        getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            refuse(s->id, strerror(error));
            drop(s);
            return;
        }
        opened(s);
        watch(s, false);
    }
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) s->hung_up = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        s->readable = true;
        set_ready(s);
    }
    if ((events & EPOLLOUT) && s->begin < s->end) flush(s);
}

/* Read once from a stream that is ready, into one frame. */
static void pull(struct stream *s) {
    size_t most = s->kind == UDP ? MAX_PAYLOAD : s->credit < CHUNK ? s->credit : CHUNK;
    ssize_t count = recv(s->fd, port_begin(), most, MSG_DONTWAIT);
    if (count > 0) {
        port_end(DATA, s->id, (size_t)count);
        s->credit -= (uint32_t)count;
        if (s->kind != UDP && (size_t)count < most && !s->hung_up) s->readable = false;
    } else if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        s->readable = errno == EINTR;
    } else if (s->kind == UDP) {
        return; /* an empty datagram, or a port that nobody listens on: the next datagram may be heard */
    } else if (count < 0) {
        reset(s, strerror(errno));
        return;
    } else {
        s->target_ended = true;
        port_send(END, s->id, NULL, 0);
        if (s->discards) discard(s);
        else if (!drop_if_over(s)) set_ready(s);
        return;
    }
    set_ready(s);
}

void streams_pump(void) {
    while (all.ready && port_has_room()) {
        struct stream *s = all.ready;
        pull(s);
        if (all.ready == s) all.ready = s->ready_next; /* it is read again after all others */
    }
}

bool streams_knock(const void *what) {
    for (size_t i = 0; i < all.service_count; i++)
        if (what == &all.services[i]) return all.services[i].is_knocked = true;
    return false;
}

static void accept_at(struct service *service) {
    while (service->is_knocked && port_in_session() && all.unanswered < UNANSWERED_LIMIT && all.count < STREAMS_LIMIT) {
        int fd = accept4(service->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            service->is_knocked = false;
            return;
        }
        do all.last_id += 2;
        while (!all.last_id || *place(all.last_id));
        struct stream *s = add(all.last_id, SERVICE, fd);
        uint8_t payload[7 + SERVICE_SIZE] = {0};
        size_t length = strlen(service->name);
        memcpy(payload, &s->size, 4);
        payload[4] = SERVICE;
        memcpy(payload + 7, service->name, length);
        s->asked = true;
        all.unanswered++;
        watch(s, false);
        s->readable = true;
        port_send(OPEN, s->id, payload, 7 + length);
    }
}

void streams_accept(void) {
    for (size_t i = 0; i < all.service_count; i++) accept_at(&all.services[i]);
}
