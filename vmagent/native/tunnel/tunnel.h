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

#endif
