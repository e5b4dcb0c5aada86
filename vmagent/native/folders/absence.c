#include "absence.h"
#include <stdlib.h>

enum { FIRST_CAPACITY = 16, LONGEST = 1 << 16 /* names; a folder with more is asked about */ };

/* Hashes of names, by open addressing; 0: free. Two names with one hash cost a request, no more. */
struct absence {
    uint64_t epoch;
    int64_t until_ms;
    uint32_t valid_ms;
    uint32_t count, capacity;
    uint64_t *hashes;
};

static uint64_t epoch = 1; /* of absence_forget_all */
static uint64_t missed_at; /* tick */

static uint64_t hash_of(const char *name, size_t length) {
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3ull;
    return hash ? hash : 1;
}

static uint64_t *place_of(uint64_t *hashes, uint32_t capacity, uint64_t hash) {
    uint32_t at = (uint32_t)(hash ^ hash >> 32) & (capacity - 1);
    while (hashes[at] && hashes[at] != hash) at = (at + 1) & (capacity - 1);
    return &hashes[at];
}

static void grow(struct absence *absence) {
    uint32_t capacity = absence->capacity ? absence->capacity * 2 : FIRST_CAPACITY;
    uint64_t *hashes = calloc(capacity, sizeof *hashes);
    if (!hashes) abort();
    for (uint32_t i = 0; i < absence->capacity; i++)
        if (absence->hashes[i]) *place_of(hashes, capacity, absence->hashes[i]) = absence->hashes[i];
    free(absence->hashes);
    absence->hashes = hashes;
    absence->capacity = capacity;
}

void absence_free(struct absence **known) {
    if (!*known) return;
    free((*known)->hashes);
    free(*known);
    *known = NULL;
}

void absence_begin(struct absence **known, uint32_t valid_ms, uint64_t asked_at) {
    absence_free(known);
    if (missed_at > asked_at) return; /* it may have been a name in this one */
    struct absence *absence = *known = calloc(1, sizeof *absence);
    if (!absence) abort();
    absence->epoch = epoch;
    absence->valid_ms = valid_ms;
    absence->until_ms = now_ms() + valid_ms;
    grow(absence);
}

void absence_name(struct absence **known, const char *name, size_t length) {
    struct absence *absence = *known;
    if (!absence) return;
    if (absence->epoch != epoch || absence->count == LONGEST) {
        absence_free(known);
        return;
    }
    if ((absence->count + 1) * 4 > absence->capacity * 3) grow(absence);
    uint64_t hash = hash_of(name, length), *place = place_of(absence->hashes, absence->capacity, hash);
    if (!*place) absence->count++;
    *place = hash;
}

void absence_renew(struct absence *known, uint32_t valid_ms) {
    /* Not after it has run out: what came meanwhile may not have been told. */
    if (known && valid_ms >= known->valid_ms && known->until_ms > now_ms()) known->until_ms = now_ms() + known->valid_ms;
}

uint32_t absence_ms(const struct absence *known, const char *name, size_t length) {
    if (!known || known->epoch != epoch) return 0;
    int64_t left_ms = known->until_ms - now_ms();
    if (left_ms <= 0 || *place_of(known->hashes, known->capacity, hash_of(name, length))) return 0;
    return (uint32_t)left_ms;
}

void absence_missed(void) { missed_at = ++tick; }
void absence_forget_all(void) { epoch++; }
