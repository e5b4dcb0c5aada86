#define _GNU_SOURCE
#include "port.h"
#include "tunnel.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define IN_SIZE (256 * 1024)
#define OUT_SIZE (1024 * 1024)
#define OUT_DATA (256 * 1024)    /* data waits while this much is queued */
#define OUT_CONTROL (768 * 1024) /* the port is not read while this much is queued: each frame may cause a reply */
#define READ_BOUND (1024 * 1024) /* bytes of the host before the targets get their turn */

static struct {
    int fd;
    const struct port_user *user;
    int epoll, signals;
    void *name;
    bool readable, writable;
    bool is_held; /* input is left because too much is queued */
    uint8_t tag[TRAILER];
    bool in_session;
    bool is_answered; /* something of this session was written: the host is there, as far as Linux knows */
    size_t zeros; /* length of the run of zero bytes that was read last, out of session */
    uint8_t in[IN_SIZE];
    size_t in_begin, in_end;
    uint8_t out[OUT_SIZE];
    size_t out_begin, out_end;
} port;

static uint32_t number(const uint8_t *bytes) {
    uint32_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

bool port_in_session(void) { return port.in_session; }
bool port_has_input(void) { return (port.readable || port.is_held) && port.out_end - port.out_begin < OUT_CONTROL; }
bool port_can_write(void) { return port.writable; }
bool port_has_room(void) { return port.in_session && port.out_end - port.out_begin < OUT_DATA; }

/* Make room for `length` bytes behind what is queued. */
static uint8_t *out_space(size_t length) {
    if (port.out_end + length > OUT_SIZE) {
        memmove(port.out, port.out + port.out_begin, port.out_end - port.out_begin);
        port.out_end -= port.out_begin;
        port.out_begin = 0;
    }
    if (port.out_end + length > OUT_SIZE) abort(); /* OUT_DATA and OUT_CONTROL leave room */
    return port.out + port.out_end;
}

static void begin_anew(bool tell) {
    port.user->on_end();
    port.in_session = false;
    port.zeros = 0;
    port.out_begin = port.out_end = 0;
    if (tell) {
        memset(out_space(BEACON), 0, BEACON);
        port.out_end += BEACON;
    }
}

/* Whoever waits in poll() for the port is woken also for each buffer that the host has taken. Under emulation that is
 * half a millisecond: another process lost the processor for it. The signal for asynchronous input comes only with
 * input, so the port itself is polled only while there is no room. */
static bool watch_input(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGIO);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0) return false;
    port.signals = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = port.name};
    if (port.signals < 0 || epoll_ctl(port.epoll, EPOLL_CTL_ADD, port.signals, &event) < 0) return false;
    int flags = fcntl(port.fd, F_GETFL);
    return flags >= 0 && fcntl(port.fd, F_SETOWN, getpid()) == 0 && fcntl(port.fd, F_SETFL, flags | O_ASYNC) == 0;
}

static void set_writable(bool writable) {
    if (port.writable == writable) return;
    port.writable = writable;
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.ptr = port.name};
    if (epoll_ctl(port.epoll, writable ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, port.fd, &event) < 0) abort();
}

bool port_open(int fd, const struct port_user *user, int epoll, void *name) {
    port.fd = fd;
    port.user = user;
    port.epoll = epoll;
    port.name = name;
    if (!watch_input()) return false;
    port.readable = port.writable = true; /* to be tried */
    begin_anew(true);
    return true;
}

void port_event(uint32_t events) {
    if (events & EPOLLOUT) set_writable(true);
    if (events & EPOLLIN) { /* of the signals: of the port only EPOLLOUT is watched */
        struct signalfd_siginfo signal;
        while (read(port.signals, &signal, sizeof signal) < 0 && errno == EINTR) continue;
        port.readable = true;
    }
}

uint8_t *port_begin(void) { return out_space(HEADER + MAX_PAYLOAD + TRAILER) + HEADER; }

void port_end(uint8_t type, uint32_t stream, size_t length) {
    uint8_t *frame = port.out + port.out_end;
    uint32_t length32 = (uint32_t)length;
    memset(frame, 0, 4);
    frame[0] = type;
    memcpy(frame + 4, &stream, 4);
    memcpy(frame + 8, &length32, 4);
    memcpy(frame + HEADER + length, port.tag, TRAILER);
    port.out_end += HEADER + length + TRAILER;
}

void port_send(uint8_t type, uint32_t stream, const void *payload, size_t length) {
    uint8_t *at = out_space(HEADER + length + TRAILER) + HEADER;
    if (length) memcpy(at, payload, length);
    port_end(type, stream, length);
}

/* Out of session: skip bytes up to a greeting's end. Returns how many of the `length` bytes are used up. */
static size_t seek_greeting(const uint8_t *bytes, size_t length) {
    size_t at = 0;
    while (at < length) {
        if (bytes[at] == 0) {
            port.zeros++;
            at++;
            continue;
        }
        if (port.zeros < ZERO_RUN) {
            port.zeros = 0;
            at++;
            continue;
        }
        if (length - at < GREETING) return at;
        port.zeros = 0;
        if (memcmp(bytes + at, MAGIC, 8) != 0) continue;
        uint8_t reply[GREETING];
        uint32_t version = VERSION;
        memcpy(reply, MAGIC, 8);
        memcpy(reply + 8, &version, 4);
        memcpy(reply + 12, bytes + at + 12, 16);
        memcpy(out_space(GREETING), reply, GREETING);
        port.out_end += GREETING;
        if (number(bytes + at + 8) == VERSION) { /* else the host reads our version and gives up */
            for (int i = 0; i < TRAILER; i++) port.tag[i] = bytes[at + 12 + i] | 0x80;
            port.in_session = true;
            port.is_answered = false;
        }
        return at + GREETING;
    }
    return at;
}

/* Handle one frame, if it is whole. Returns its length, 0: more bytes are needed, -1: this is no frame of ours. */
static long take_frame(const uint8_t *bytes, size_t length) {
    if (length < HEADER) return 0;
    uint32_t payload = number(bytes + 8);
    if (bytes[0] < OPEN || bytes[0] > RESET || bytes[1] || bytes[2] || bytes[3] || payload > MAX_PAYLOAD) return -1;
    size_t whole = HEADER + payload + TRAILER;
    if (length < whole) return 0;
    if (memcmp(bytes + HEADER + payload, port.tag, TRAILER) != 0) return -1;
    return port.user->on_frame(bytes[0], number(bytes + 4), bytes + HEADER, payload) ? (long)whole : -1;
}

static void take_input(void) {
    port.is_held = false;
    while (port.in_begin < port.in_end) {
        if (port.out_end - port.out_begin >= OUT_CONTROL) {
            port.is_held = true;
            break;
        }
        const uint8_t *bytes = port.in + port.in_begin;
        size_t length = port.in_end - port.in_begin;
        if (!port.in_session) {
            size_t used = seek_greeting(bytes, length);
            port.in_begin += used;
            if (!used) break;
            continue;
        }
        long used = take_frame(bytes, length);
        if (used == 0) break;
        if (used < 0) begin_anew(true);
        else port.in_begin += (size_t)used;
    }
    if (port.in_begin == port.in_end) port.in_begin = port.in_end = 0;
    if (port.in_begin && port.in_end > IN_SIZE / 2) {
        memmove(port.in, port.in + port.in_begin, port.in_end - port.in_begin);
        port.in_end -= port.in_begin;
        port.in_begin = 0;
    }
}

void port_read(void) {
    size_t total = 0;
    take_input(); /* what waited for room in the queue */
    while (port.readable && !port.is_held && total < READ_BOUND) {
        ssize_t count = read(port.fd, port.in + port.in_end, IN_SIZE - port.in_end);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            port.readable = false;
            /* Linux learns in two ways that a host is there: by its bytes, at once, and by a message that a kernel thread
             * handles. Between them the port reads as closed and takes no reply, but the session has begun. */
            if (count == 0 && port.in_session && !port.is_answered) return;
            if (count == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
                port.in_begin = port.in_end = 0;
                begin_anew(false); /* the host has closed its end; it greets when it comes back */
            }
            return;
        }
        port.in_end += (size_t)count;
        total += (size_t)count;
        take_input();
    }
}

void port_flush(void) {
    while (port.writable && port.out_begin < port.out_end) {
        ssize_t count = write(port.fd, port.out + port.out_begin, port.out_end - port.out_begin);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            set_writable(false);
            return;
        }
        port.out_begin += (size_t)count;
        port.is_answered = true;
    }
    if (port.out_begin == port.out_end) port.out_begin = port.out_end = 0;
}
