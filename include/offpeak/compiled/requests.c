/* Requests: fingerprints of rows, and their lines as constant bytes around escaped texts (see writing.py).

   Columns are Arrow's: text i is data[ends[i]:ends[i + 1]]. */

#include "lanes.h"
#include "scan.h"

typedef struct {
    const uint8_t *data;
    const int32_t *ends; /* NULL for bytes that are the same in every line */
    int64_t bytes;       /* of those */
    int64_t is_escaped;  /* whether the texts are to be written as JSON has them */
} Part;

static const char SHORT_ESCAPES[] = "........btn.fr..";

/* The escape of a byte that cannot stand in a JSON string; how long it is. */
static int64_t escape(uint8_t byte, uint8_t *out)
{
    static const char digits[] = "0123456789abcdef";
    int is_short = byte >= 0x20 || (byte < 0x10 && SHORT_ESCAPES[byte] != '.');
    if (out) {
        out[0] = '\\';
        if (is_short) {
            out[1] = byte >= 0x20 ? byte : (uint8_t)SHORT_ESCAPES[byte];
        } else {
            memcpy(out + 1, "u00", 3);
            out[4] = (uint8_t)digits[byte >> 4];
            out[5] = (uint8_t)digits[byte & 15];
        }
    }
    return is_short ? 2 : 6;
}

/* The text as the inside of a JSON string, at `out` unless that is NULL; how many bytes that is. */
static int64_t escaped_text(const uint8_t *at, const uint8_t *end, uint8_t *out)
{
    int64_t written = 0;
    while (at < end) {
        const uint8_t *stop = end_of_run(at, end);
        if (out)
            memcpy(out + written, at, (size_t)(stop - at));
        written += stop - at;
        at = stop;
        if (at < end)
            written += escape(*at++, out ? out + written : NULL);
    }
    return written;
}

/* How many bytes each text has inside a JSON string. */
void offpeak_escaped_sizes(const uint8_t *data, const int32_t *ends, int64_t count, int64_t *sizes)
{
    for (int64_t row = 0; row < count; row++)
        sizes[row] = escaped_text(data + ends[row], data + ends[row + 1], NULL);
}

/* The lines one after the other at `out`; how many bytes they are, -1 when they are more than there is `room` for. */
int64_t offpeak_lines(const Part *parts, int64_t part_count, int64_t count, uint8_t *out, int64_t room)
{
    uint8_t *to = out, *end = out + room;
    for (int64_t row = 0; row < count; row++) {
        for (const Part *part = parts; part < parts + part_count; part++) {
            const uint8_t *from = part->data;
            int64_t bytes = part->bytes;
            if (part->ends) {
                from += part->ends[row];
                bytes = part->ends[row + 1] - part->ends[row];
            }
            if (bytes > end - to || (part->is_escaped && 6 * bytes > end - to &&
                                     escaped_text(from, from + bytes, NULL) > end - to))
                return -1;
            if (part->is_escaped) {
                to += escaped_text(from, from + bytes, to);
            } else {
                memcpy(to, from, (size_t)bytes);
                to += bytes;
            }
        }
    }
    return to - out;
}

/* The fingerprint of each row, 32 hexadecimal digits: of what decides it and, unless `system_ends` is NULL because that
   is among it, of the system text behind its length, and of the user text. `widest`: 0 for one after the other. */
void offpeak_fingerprints(const uint8_t *decides, int64_t decides_bytes, const uint8_t *systems,
                          const int32_t *system_ends, const uint8_t *users, const int32_t *user_ends, int64_t count,
                          uint8_t *digits, int32_t widest)
{
    Hash before;
    hash_start(&before);
    hash_more(&before, decides, decides_bytes);
    if (!system_ends && hash_side_by_side(&before, users, user_ends, count, digits, widest))
        return;
    for (int64_t row = 0; row < count; row++) {
        Hash hash = before;
        if (system_ends) {
            uint64_t bytes = (uint64_t)(system_ends[row + 1] - system_ends[row]);
            uint8_t length[8];
            memcpy(length, &bytes, 8);
            hash_more(&hash, length, 8);
            hash_more(&hash, systems + system_ends[row], (int64_t)bytes);
        }
        hash_more(&hash, users + user_ends[row], user_ends[row + 1] - user_ends[row]);
        hash_end(&hash, digits + 32 * row);
    }
}
