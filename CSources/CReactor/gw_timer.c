// The timer wheel; see the header for what it keeps and for how it is used.
// Owner and thread: the reactor's.
#include "gw_timer.h"

#include <assert.h>

#define GW_TIMER_FIRST 0x80000000u

void gw_wheel_init(struct gw_wheel *wheel, struct gw_timer *first, size_t stride, uint32_t now) {
    *wheel = (struct gw_wheel){ .timers = (uint8_t *)first, .stride = stride, .now = now };
    for (unsigned slot = 0; slot < GW_TIMER_SLOTS; slot++) {
        wheel->heads[slot] = GW_TIMER_NONE;
    }
}

void gw_timer_init(struct gw_timer *timer) {
    timer->next = timer->previous = GW_TIMER_NONE;
}

void gw_timer_arm(struct gw_wheel *wheel, uint32_t index, uint32_t tick) {
    gw_timer_cancel(wheel, index);
    uint32_t distance = tick - wheel->now;
    if ((int32_t)distance < 1) {
        distance = 1;
    } else if (distance > GW_TIMER_SLOTS - 1) {
        distance = GW_TIMER_SLOTS - 1;
    }
    const uint32_t slot = (wheel->now + distance) % GW_TIMER_SLOTS;
    struct gw_timer *timer = gw_wheel_timer(wheel, index);
    timer->next = wheel->heads[slot];
    timer->previous = slot | GW_TIMER_FIRST;
    if (timer->next != GW_TIMER_NONE) {
        gw_wheel_timer(wheel, timer->next)->previous = index;
    }
    wheel->heads[slot] = index;
    wheel->occupied[slot / 64] |= 1ull << (slot % 64);
    wheel->summary |= 1ull << (slot / 64);
    wheel->armed++;
}

void gw_timer_cancel(struct gw_wheel *wheel, uint32_t index) {
    struct gw_timer *timer = gw_wheel_timer(wheel, index);
    if (!gw_timer_is_armed(timer)) {
        return;
    }
    if (timer->next != GW_TIMER_NONE) {
        gw_wheel_timer(wheel, timer->next)->previous = timer->previous;
    }
    if (timer->previous & GW_TIMER_FIRST) {
        const uint32_t slot = timer->previous & ~GW_TIMER_FIRST;
        wheel->heads[slot] = timer->next;
        if (timer->next == GW_TIMER_NONE) {
            wheel->occupied[slot / 64] &= ~(1ull << (slot % 64));
            if (wheel->occupied[slot / 64] == 0) {
                wheel->summary &= ~(1ull << (slot / 64));
            }
        }
    } else {
        gw_wheel_timer(wheel, timer->previous)->next = timer->next;
    }
    gw_timer_init(timer);
    assert(wheel->armed > 0);
    wheel->armed--;
}

int gw_wheel_next(const struct gw_wheel *wheel, uint32_t *tick) {
    if (wheel->summary == 0) {
        return 0;
    }
    // The first occupied slot after now, around the wheel: the rest of now's own word, the words after it,
    // and last the beginning of its own word again.
    const uint32_t from = (wheel->now + 1) % GW_TIMER_SLOTS;
    const uint32_t word = from / 64;
    const uint64_t rest = wheel->occupied[word] & (~0ull << (from % 64));
    uint32_t slot;
    if (rest != 0) {
        slot = word * 64 + (uint32_t)__builtin_ctzll(rest);
    } else {
        const uint64_t above = word == 63 ? 0 : wheel->summary & (~0ull << (word + 1));
        const uint32_t next_word = (uint32_t)__builtin_ctzll(above != 0 ? above : wheel->summary);
        slot = next_word * 64 + (uint32_t)__builtin_ctzll(wheel->occupied[next_word]);
    }
    *tick = wheel->now + 1 + (slot - from + GW_TIMER_SLOTS) % GW_TIMER_SLOTS;
    return 1;
}

uint32_t gw_wheel_expire(struct gw_wheel *wheel, uint32_t now) {
    uint32_t tick;
    if (gw_wheel_next(wheel, &tick) && !gw_tick_before(now, tick)) {
        // Stays one tick behind until the slot is empty, so that the search finds the same slot again.
        wheel->now = tick - 1;
        const uint32_t index = wheel->heads[tick % GW_TIMER_SLOTS];
        gw_timer_cancel(wheel, index);
        return index;
    }
    wheel->now = now;
    return GW_TIMER_NONE;
}
