/* The streams: their targets in the guest, and what the host and they have sent. */
#ifndef STREAMS_H
#define STREAMS_H

#include "port.h"
#include <stdbool.h>
#include <stdint.h>

#define STREAMS_LIMIT 8192
#define RETRY_MS 5
#define SERVICES_LIMIT 4
#define SERVICE_SIZE 16 /* of a name, with its zero byte */

struct stream;

/* Takes the frames of the port. */
extern const struct port_user streams;

void streams_set_up(int epoll);
/* Programs of the guest reach the service `name` of the host on this listener. Returns what stands for it in events. */
void *streams_serve(const char *name, int listener);
void streams_event(struct stream *stream, uint32_t events);
/* If this is a listener: it has an event, a program in the guest asks for its service. Returns whether it is one. */
bool streams_knock(const void *what);
void streams_accept(void);  /* takes those programs */
void streams_pump(void);    /* targets to port */
void streams_retry(void);   /* repeats what found a full queue; to be called every RETRY_MS, more often does no harm */
bool streams_are_ready(void);
bool streams_are_retrying(void);
void streams_free_dead(void);

#endif
