/* The port: greeting, frames in, frames out. It knows nothing of streams: `port_open` is given who takes the frames. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct port_user {
    /* One frame of the host. Returns false if the frame breaks the protocol. */
    bool (*on_frame)(uint8_t type, uint32_t stream, const uint8_t *payload, uint32_t length);
    void (*on_end)(void); /* the session has ended, if there was one */
};

/* Have epoll report the port's events with `name` as data; each is passed to port_event. Returns false with errno. */
bool port_open(int fd, const struct port_user *user, int epoll, void *name);
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

#endif
