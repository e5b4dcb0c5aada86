#define _GNU_SOURCE
#include "clock.h"
#include <time.h>

uint64_t tick = 1;

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
