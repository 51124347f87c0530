/* Four BLAKE2b hashes side by side, a lane each, where the processor can. What is hashed in each is the same up to some
   point, and a text from there on. */

#ifndef OFFPEAK_LANES_H
#define OFFPEAK_LANES_H

#include "blake2b.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>

enum { LANES = 4, AVX_STATE = 0x6, AVX512_STATE = 0xe6 };

typedef uint64_t Words __attribute__((vector_size(8 * LANES)));

typedef struct {
    const uint8_t *data;
    int64_t bytes, row; /* what is left of the text; of no row below 0 */
    uint64_t hashed;
    int64_t held_bytes;
    uint8_t held[HASH_BLOCK];
} Lane;

typedef struct {
    const uint8_t *blocks[LANES];
    Words chain[8], hashed, is_last; /* is_last: all bits of a lane or none */
} Step;

#define INLINE static inline __attribute__((always_inline))

INLINE void mix_lanes(Words *a, Words *b, Words *c, Words *d, const Words *first,
                      const Words *second)
{
    *a += *b + *first;
    *d ^= *a;
    *d = *d >> 32 | *d << 32;
    *c += *d;
    *b ^= *c;
    *b = *b >> 24 | *b << 40;
    *a += *b + *second;
    *d ^= *a;
    *d = *d >> 16 | *d << 48;
    *c += *d;
    *b ^= *c;
    *b = *b >> 63 | *b << 1;
}

INLINE void hash_blocks(Step *step)
{
    Words v[16], words[16];
    for (int word = 0; word < 16; word++) {
        uint64_t ones[LANES];
        for (int lane = 0; lane < LANES; lane++)
            memcpy(&ones[lane], step->blocks[lane] + 8 * word, 8);
        words[word] = (Words){ones[0], ones[1], ones[2], ones[3]};
    }
    for (int place = 0; place < 8; place++) {
        v[place] = step->chain[place];
        v[place + 8] = (Words){0} + HASH_START[place];
    }
    v[12] ^= step->hashed;
    v[14] ^= step->is_last;
#pragma GCC unroll 12
    for (int round = 0; round < 12; round++) {
        const uint8_t *at = HASH_ORDER[round];
        mix_lanes(&v[0], &v[4], &v[8], &v[12], &words[at[0]], &words[at[1]]);
        mix_lanes(&v[1], &v[5], &v[9], &v[13], &words[at[2]], &words[at[3]]);
        mix_lanes(&v[2], &v[6], &v[10], &v[14], &words[at[4]], &words[at[5]]);
        mix_lanes(&v[3], &v[7], &v[11], &v[15], &words[at[6]], &words[at[7]]);
        mix_lanes(&v[0], &v[5], &v[10], &v[15], &words[at[8]], &words[at[9]]);
        mix_lanes(&v[1], &v[6], &v[11], &v[12], &words[at[10]], &words[at[11]]);
        mix_lanes(&v[2], &v[7], &v[8], &v[13], &words[at[12]], &words[at[13]]);
        mix_lanes(&v[3], &v[4], &v[9], &v[14], &words[at[14]], &words[at[15]]);
    }
    for (int place = 0; place < 8; place++)
        step->chain[place] ^= v[place] ^ v[place + 8];
}

/* The next block of a lane: of what it holds and its text, or of its text alone. Whether it is the last one. */
static int next_block(Lane *lane, const uint8_t **block)
{
    int64_t room = HASH_BLOCK - lane->held_bytes, taken = lane->bytes < room ? lane->bytes : room;
    int is_last = lane->bytes <= room;
    if (lane->held_bytes == 0 && taken == HASH_BLOCK)
        *block = lane->data;
    else {
        if (taken)
            memcpy(lane->held + lane->held_bytes, lane->data, (size_t)taken);
        memset(lane->held + lane->held_bytes + taken, 0, (size_t)(room - taken));
        *block = lane->held;
    }
    lane->hashed += (uint64_t)(lane->held_bytes + taken);
    lane->data += taken;
    lane->bytes -= taken;
    lane->held_bytes = 0;
    return is_last;
}

/* The digests of `before` and each text, 32 hexadecimal digits: a lane takes the next text as soon as it is free. */
INLINE void hash_texts(const Hash *before, const uint8_t *texts, const int32_t *ends, int64_t count, uint8_t *digits)
{
    Step step;
    Lane lanes[LANES];
    int64_t next = 0;
    int busy = 0;
    memset(&step, 0, sizeof step);
    memset(lanes, 0, sizeof lanes);
    for (int lane = 0; lane < LANES; lane++)
        lanes[lane].row = -1;
    do {
        for (int at = 0; at < LANES; at++) {
            Lane *lane = &lanes[at];
            if (lane->row < 0 && next < count) {
                lane->row = next;
                lane->data = texts + ends[next];
                lane->bytes = ends[next + 1] - ends[next];
                lane->hashed = before->hashed;
                lane->held_bytes = before->held_bytes;
                memcpy(lane->held, before->held, HASH_BLOCK);
                for (int place = 0; place < 8; place++)
                    step.chain[place][at] = before->chain[place];
                next++;
                busy++;
            }
            step.blocks[at] = lane->held; /* of a lane without a text nothing is taken */
            step.is_last[at] = lane->row >= 0 && next_block(lane, &step.blocks[at]) ? ~(uint64_t)0 : 0;
            step.hashed[at] = lane->hashed;
        }
        hash_blocks(&step);
        for (int at = 0; at < LANES; at++)
            if (step.is_last[at]) {
                uint64_t digest[2] = {step.chain[0][at], step.chain[1][at]};
                hash_digits((const uint8_t *)digest, digits + 2 * DIGEST * lanes[at].row);
                lanes[at].row = -1;
                busy--;
            }
    } while (busy > 0 || next < count);
}

__attribute__((target("avx512f,avx512vl"))) static void hash_texts_wide(const Hash *before, const uint8_t *texts,
                                                                         const int32_t *ends, int64_t count,
                                                                         uint8_t *digits)
{
    hash_texts(before, texts, ends, count, digits);
}

__attribute__((target("avx2"))) static void hash_texts_narrow(const Hash *before, const uint8_t *texts,
                                                              const int32_t *ends, int64_t count, uint8_t *digits)
{
    hash_texts(before, texts, ends, count, digits);
}

static int vectors; /* 0 for too narrow ones, else 1, or 2 with the instructions that turn a word at once */

/* What the processor has and the system keeps, asked once: a virtual machine takes long to answer. And asked here, since
   not every compiler's own question is answered. */
__attribute__((constructor)) static void find_vectors(void)
{
    unsigned a, b, c, d, kept, rest;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return;
    __asm__("xgetbv" : "=a"(kept), "=d"(rest) : "c"(0));
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    if ((kept & AVX512_STATE) == AVX512_STATE && (b & bit_AVX512F) && (b & bit_AVX512VL))
        vectors = 2;
    else
        vectors = (kept & AVX_STATE) == AVX_STATE && (b & bit_AVX2);
}

/* Whether it was done, in vectors no wider than `widest`. */
static int hash_side_by_side(const Hash *before, const uint8_t *texts, const int32_t *ends, int64_t count,
                             uint8_t *digits, int widest)
{
    int width = count < LANES ? 0 : vectors < widest ? vectors : widest;
    if (width == 2)
        hash_texts_wide(before, texts, ends, count, digits);
    else if (width == 1)
        hash_texts_narrow(before, texts, ends, count, digits);
    return width > 0;
}

#else

static int hash_side_by_side(const Hash *before, const uint8_t *texts, const int32_t *ends, int64_t count,
                             uint8_t *digits, int widest)
{
    (void)before, (void)texts, (void)ends, (void)count, (void)digits, (void)widest;
    return 0;
}

#endif
#endif
