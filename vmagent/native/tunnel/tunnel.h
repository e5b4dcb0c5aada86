/* The guest's end of the multiplexer: many streams over one virtio-serial port.
 *
 * A port has no connections: bytes of an earlier host agent, and half a frame of it, may lie before those of the present
 * one. So a session begins with a greeting that cannot be part of any frame, and every frame ends with the session's tag.
 *
 *   greeting, host to guest:  2 * ZERO_RUN zero bytes, MAGIC, version (u32), nonce (16 bytes)
 *   greeting, guest to host:  MAGIC, version, the same nonce
 *   frame, both ways:         type (u8), 3 zero bytes, stream (u32), length of the payload (u32), payload, tag (4 bytes)
 *
 * Numbers are little-endian. The tag is the nonce's first four bytes, each with its top bit set. ZERO_RUN is longer than
 * any run of zero bytes in frames, so no payload can look like a greeting. A guest that lost its session, or begins,
 * sends BEACON zero bytes: the host's parser fails on them wherever it stands, and the host greets again. */
#ifndef TUNNEL_H
#define TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_PAYLOAD 65536
#define HEADER 12
#define TRAILER 4
#define ZERO_RUN (MAX_PAYLOAD + 64)
#define BEACON (HEADER + MAX_PAYLOAD + TRAILER)
#define MAGIC "COVEMUX\n"
#define VERSION 1
#define GREETING (8 + 4 + 16)

enum type {
    OPEN = 1, /* window (u32), kind (u8), port (u16), address: the rest of the payload */
    OPENED,   /* window (u32) */
    REFUSED,  /* reason, as text */
    DATA,     /* bytes; on a UDP stream exactly one datagram */
    CREDIT,   /* bytes (u32) that may be sent in addition */
    END,      /* the sender's direction has ended */
    RESET,    /* both directions have ended; reason, as text */
};

enum kind {
    UNIX = 1, /* address: the path of a socket */
    TCP,      /* address: IPv4 or IPv6, numeric */
    UDP,
    SERVICE, /* from the guest: address is the name of a service of the host */
};

#define STREAMS_LIMIT 8192
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

/* port.c */
void port_open(int fd);
void port_event(uint32_t events);
void port_read(void);   /* reads and handles what has come, up to a bound */
void port_flush(void);  /* writes what is queued, as far as the port takes it */
bool port_has_input(void);
bool port_has_room(void); /* for a frame with a full payload */
bool port_in_session(void);
bool port_can_write(void);
void port_send(uint8_t type, uint32_t stream, const void *payload, size_t length);
uint8_t *port_begin(void);                          /* where a payload may be put, if port_has_room() */
void port_end(uint8_t type, uint32_t stream, size_t length); /* makes it a frame */

/* streams.c */
void streams_set_up(int epoll, int listener);
/* One frame of the host. Returns false if the frame breaks the protocol. */
bool streams_frame(uint8_t type, uint32_t id, const uint8_t *payload, uint32_t length);
void streams_event(struct stream *stream, uint32_t events);
void streams_accept(void);  /* a program in the guest asks for a service of the host */
void streams_pump(void);    /* targets to port */
void streams_retry(void);
bool streams_are_ready(void);
bool streams_are_retrying(void);
void streams_drop_all(void);
void streams_free_dead(void);

#endif
