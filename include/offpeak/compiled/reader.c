/* Lines of JSON into columns, as a tree of nodes says (made and explained in nodes.py).

   A line is taken whole or not at all: at the first thing that is not exactly what its node allows, what it left in
   the columns is taken back and the line is for somebody else to read. The caller gives every column the room that
   the lines could need at most, so nothing is allocated here. */

#include "vectors.h"

enum kind { OBJECT, STRING, WHOLE, REAL, FLAG, CONSTANT, LIST, PICK, VECTOR, VALUE };
enum { NULLABLE = 1, REQUIRED = 2, CLOSED = 4, FIRST = 8, ONLY = 16 };
enum { MOST_COLUMNS = 64, MOST_FIELDS = 64 };

typedef struct {
    int32_t kind, flags;
    int32_t child, children; /* of an object its fields, of a text or a number its VALUEs */
    int32_t name, name_bytes; /* of a field, or of a VALUE's text: where in `names` */
    int32_t column;           /* -1 for none */
    int32_t unused;
    int64_t low, high;           /* bounds of a whole number, of a length; dimensions; what a VALUE is */
    double real_low, real_high;
} Node;

typedef struct {
    void *values;
    int32_t *ends;  /* of texts and lists */
    uint8_t *valid; /* a byte each; NULL where nothing is ever null */
    int64_t count, used;
} Column;

typedef struct {
    Scan scan;
    const Node *nodes;
    Column *columns;
    int64_t column_count;
    const uint8_t *names;
    uint8_t base64[256];
} Reader;

typedef struct {
    const uint8_t *at;
    int32_t depth;
    int64_t counts[MOST_COLUMNS], used[MOST_COLUMNS];
} Mark;

static int value(Reader *reader, const Node *node);
static int object(Reader *reader, const Node *node);

static void keep(const Reader *reader, Mark *mark)
{
    mark->at = reader->scan.at;
    mark->depth = reader->scan.depth;
    for (int64_t place = 0; place < reader->column_count; place++) {
        mark->counts[place] = reader->columns[place].count;
        mark->used[place] = reader->columns[place].used;
    }
}

static void take_back(Reader *reader, const Mark *mark)
{
    reader->scan.at = mark->at;
    reader->scan.depth = mark->depth;
    for (int64_t place = 0; place < reader->column_count; place++) {
        reader->columns[place].count = mark->counts[place];
        reader->columns[place].used = mark->used[place];
    }
}

static inline void counted(Column *column, int is_valid)
{
    if (column->valid)
        column->valid[column->count] = (uint8_t)is_valid;
    if (column->ends)
        column->ends[column->count + 1] = (int32_t)column->used;
    column->count++;
}

/* What stands for a field that is not there, or for null: nothing, 0, or an empty text. */
static int absent(Reader *reader, const Node *node)
{
    Column *column = node->column < 0 ? NULL : &reader->columns[node->column];
    if (node->kind == OBJECT) {
        for (int32_t place = 0; place < node->children; place++)
            if (absent(reader, &reader->nodes[node->child + place]))
                return ODD;
        return TAKEN;
    }
    if (!column)
        return node->kind == PICK ? ODD : TAKEN;
    switch (node->kind) {
    case WHOLE:
        ((int64_t *)column->values)[column->count] = 0;
        break;
    case REAL:
        ((double *)column->values)[column->count] = 0;
        break;
    case FLAG:
        ((uint8_t *)column->values)[column->count] = 0;
        break;
    case STRING:
    case LIST:
        break;
    default:
        return ODD;
    }
    counted(column, 0);
    return TAKEN;
}

static int is_among(const Reader *reader, const Node *node, const uint8_t *text, int64_t length)
{
    for (int32_t place = 0; place < node->children; place++) {
        const Node *one = &reader->nodes[node->child + place];
        if (one->name_bytes == length && !memcmp(reader->names + one->name, text, (size_t)length))
            return 1;
    }
    return 0;
}

static int64_t characters(const uint8_t *text, int64_t bytes)
{
    int64_t count = 0;
    for (int64_t place = 0; place < bytes; place++)
        count += (text[place] & 0xC0) != 0x80;
    return count;
}

static int text(Reader *reader, const Node *node)
{
    Column *column = node->column < 0 ? NULL : &reader->columns[node->column];
    uint8_t *out = column ? (uint8_t *)column->values + column->used : NULL;
    int64_t length;
    if (!next_is(&reader->scan, '"') || string(&reader->scan, out, &length))
        return ODD;
    if (!column)
        return TAKEN;
    if (node->children && !is_among(reader, node, out, length))
        return ODD;
    if (node->low > 0 || node->high < INT64_MAX) {
        int64_t count = characters(out, length);
        if (count < node->low || count > node->high)
            return ODD;
    }
    column->used += length;
    counted(column, 1);
    return TAKEN;
}

/* OTHER for another text than one of those that it may be. */
static int constant(Reader *reader, const Node *node)
{
    const uint8_t *from, *stop;
    if (!next_is(&reader->scan, '"'))
        return ODD;
    from = reader->scan.at;
    stop = end_of_run(from, reader->scan.end);
    if (stop == reader->scan.end || *stop != '"')
        return ODD;
    reader->scan.at = stop + 1;
    return is_among(reader, node, from, stop - from) ? TAKEN : OTHER;
}

static int whole(Reader *reader, const Node *node)
{
    Column *column = node->column < 0 ? NULL : &reader->columns[node->column];
    Number found;
    int64_t given;
    int is_one = !node->children;
    if (number(&reader->scan, &found) || !found.is_whole || found.digits > 18)
        return ODD;
    if (!found.mantissa && found.is_negative)
        return ODD;
    given = found.is_negative ? -(int64_t)found.mantissa : (int64_t)found.mantissa;
    for (int32_t place = 0; place < node->children; place++)
        is_one |= reader->nodes[node->child + place].low == given;
    if (!is_one || given < node->low || given > node->high)
        return ODD;
    if (column) {
        ((int64_t *)column->values)[column->count] = given;
        counted(column, 1);
    }
    return TAKEN;
}

static int real(Reader *reader, const Node *node)
{
    Column *column = &reader->columns[node->column];
    Number found;
    double given;
    if (number(&reader->scan, &found) || exact_double(&found, &given))
        return ODD;
    if (given < node->real_low || given > node->real_high)
        return ODD;
    ((double *)column->values)[column->count] = given;
    counted(column, 1);
    return TAKEN;
}

static int flag(Reader *reader, const Node *node)
{
    Column *column = &reader->columns[node->column];
    int is_true = reader->scan.at < reader->scan.end && *reader->scan.at == 't';
    if (word(&reader->scan, is_true ? "true" : "false", is_true ? 4 : 5))
        return ODD;
    ((uint8_t *)column->values)[column->count] = (uint8_t)is_true;
    counted(column, 1);
    return TAKEN;
}

static int list(Reader *reader, const Node *node)
{
    Column *column = &reader->columns[node->column];
    int64_t items = 0;
    if (!next_is(&reader->scan, '[') || ++reader->scan.depth > DEEPEST)
        return ODD;
    space(&reader->scan);
    if (!next_is(&reader->scan, ']')) {
        do {
            space(&reader->scan);
            if (value(reader, &reader->nodes[node->child]))
                return ODD;
            items++;
            space(&reader->scan);
        } while (next_is(&reader->scan, ','));
        if (!next_is(&reader->scan, ']'))
            return ODD;
    }
    if (items < node->low || items > node->high)
        return ODD;
    reader->scan.depth--;
    column->used += items;
    counted(column, 1);
    return TAKEN;
}

/* Of a list the one element that is wanted: the only one, the first one, or the only one of its kind. An element is
   of another kind when a constant in it is OTHER; the second child then reads what it is instead. */
static int pick(Reader *reader, const Node *node)
{
    const Node *wanted = &reader->nodes[node->child], *other = wanted + 1;
    int64_t taken = 0, items = 0;
    if (!next_is(&reader->scan, '[') || ++reader->scan.depth > DEEPEST)
        return ODD;
    do {
        Mark before;
        int found;
        space(&reader->scan);
        if (items++ && (node->flags & FIRST)) {
            found = skip(&reader->scan);
        } else if (node->flags & (FIRST | ONLY)) {
            taken++;
            found = value(reader, wanted);
        } else {
            keep(reader, &before);
            found = object(reader, wanted);
            taken += found == TAKEN;
            if (found == OTHER) {
                take_back(reader, &before);
                found = object(reader, other);
            }
        }
        if (found || taken > 1)
            return ODD;
        space(&reader->scan);
    } while (next_is(&reader->scan, ','));
    if (!next_is(&reader->scan, ']') || taken != 1)
        return ODD;
    reader->scan.depth--;
    return TAKEN;
}

static int floats(Reader *reader, const Node *node)
{
    Column *column = &reader->columns[node->column];
    uint8_t *out = (uint8_t *)column->values + 4 * node->low * column->count;
    if (vector(&reader->scan, reader->base64, out, node->low))
        return ODD;
    counted(column, 1);
    return TAKEN;
}

static int value(Reader *reader, const Node *node)
{
    if (reader->scan.at < reader->scan.end && *reader->scan.at == 'n') {
        if (!(node->flags & NULLABLE) || word(&reader->scan, "null", 4))
            return ODD;
        return absent(reader, node);
    }
    switch (node->kind) {
    case OBJECT:
        return object(reader, node) ? ODD : TAKEN;
    case STRING:
        return text(reader, node);
    case WHOLE:
        return whole(reader, node);
    case REAL:
        return real(reader, node);
    case FLAG:
        return flag(reader, node);
    case CONSTANT:
        return constant(reader, node);
    case LIST:
        return list(reader, node);
    case PICK:
        return pick(reader, node);
    case VECTOR:
        return floats(reader, node);
    default:
        return ODD;
    }
}

/* The field of this name, looked for from `from` on: most objects have theirs in the nodes' order. */
static int32_t field_of(const Reader *reader, const Node *node, const uint8_t *name, int64_t length, int32_t from)
{
    for (int32_t tried = 0; tried < node->children; tried++) {
        int32_t place = from + tried < node->children ? from + tried : from + tried - node->children;
        const Node *field = &reader->nodes[node->child + place];
        if (field->name_bytes == length && !memcmp(reader->names + field->name, name, (size_t)length))
            return place;
    }
    return -1;
}

/* One `"name": value`. Which fields were there is noted in `seen`, for no field may be there twice. */
static int field(Reader *reader, const Node *node, uint64_t *seen, int32_t *next)
{
    const uint8_t *name, *stop;
    int32_t place;
    if (!next_is(&reader->scan, '"'))
        return ODD;
    name = reader->scan.at;
    stop = end_of_run(name, reader->scan.end);
    if (stop == reader->scan.end || *stop != '"')
        return ODD;
    reader->scan.at = stop + 1;
    space(&reader->scan);
    if (!next_is(&reader->scan, ':'))
        return ODD;
    space(&reader->scan);
    place = field_of(reader, node, name, stop - name, *next);
    if (place < 0)
        return node->flags & CLOSED ? ODD : skip(&reader->scan);
    if (*seen >> place & 1)
        return ODD;
    *seen |= UINT64_C(1) << place;
    *next = place + 1;
    return value(reader, &reader->nodes[node->child + place]);
}

static int object(Reader *reader, const Node *node)
{
    uint64_t seen = 0;
    int32_t next = 0;
    if (!next_is(&reader->scan, '{') || ++reader->scan.depth > DEEPEST)
        return ODD;
    space(&reader->scan);
    if (!next_is(&reader->scan, '}')) {
        do {
            int found;
            space(&reader->scan);
            found = field(reader, node, &seen, &next);
            if (found)
                return found;
            space(&reader->scan);
        } while (next_is(&reader->scan, ','));
        if (!next_is(&reader->scan, '}'))
            return ODD;
    }
    for (int32_t place = 0; place < node->children; place++) {
        const Node *missing = &reader->nodes[node->child + place];
        if (!(seen >> place & 1) && ((missing->flags & REQUIRED) || absent(reader, missing)))
            return ODD;
    }
    reader->scan.depth--;
    return TAKEN;
}

/* Reads lines[i] = data[starts[i]:ends[i]] as nodes[0]; `taken` has a byte for each. How many were taken; -1 for more
   columns than there may be. */
int64_t offpeak_read(const uint8_t *data, const int64_t *starts, const int64_t *ends, int64_t lines, const Node *nodes,
                     const uint8_t *names, Column *columns, int64_t column_count, uint8_t *taken)
{
    Reader reader = {.nodes = nodes, .columns = columns, .column_count = column_count, .names = names};
    int64_t count = 0;
    if (column_count > MOST_COLUMNS)
        return -1;
    fill_base64(reader.base64);
    for (int64_t line = 0; line < lines; line++) {
        Mark before;
        reader.scan = (Scan){.at = data + starts[line], .end = data + ends[line]};
        keep(&reader, &before);
        taken[line] = 0;
        if (is_utf8(reader.scan.at, reader.scan.end)) {
            space(&reader.scan);
            taken[line] = value(&reader, nodes) == TAKEN;
            space(&reader.scan);
            taken[line] &= reader.scan.at == reader.scan.end;
        }
        if (taken[line])
            count++;
        else
            take_back(&reader, &before);
    }
    return count;
}

/* How many line feeds there are, and where, unless `places` is NULL. */
int64_t offpeak_line_feeds(const uint8_t *data, int64_t size, int64_t *places)
{
    const uint8_t *at = data, *end = data + size;
    int64_t count = 0;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        if (places)
            places[count] = at - data;
        count++;
        at++;
    }
    return count;
}
