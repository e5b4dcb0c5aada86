/* The times by which things are put in order. */
#ifndef CLOCK_H
#define CLOCK_H
#include <stdint.h>

extern uint64_t tick; /* counts what happens: orders requests and changes */

int64_t now_ms(void); /* monotonic */

#endif
