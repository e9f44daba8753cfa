// Deadlines on a hashed wheel: 8 bytes a timer, constant time to arm and to cancel.
//
// A timer keeps no expiry: it lies in the slot of its tick, and a deadline beyond the wheel's horizon lies in
// the last slot. So a fired timer means "look again", and its owner, who knows the real deadline, arms it again
// when it is not yet due. One timer serves all deadlines of an object that way, and traffic that only moves a
// deadline away touches no timer at all.
// After G. Varghese and T. Lauck, Hashed and Hierarchical Timing Wheels, SOSP 1987, scheme 6.
//
// Owner: one reactor; no thread but its own. Timers lie in an array of the owner's structs and are named by
// index; links are indexes too.
//   a timer is armed <=> it is linked in exactly one slot <=> its previous is not GW_TIMER_NONE
//   a slot's bit in occupied is set <=> its list is not empty
#ifndef GW_TIMER_H
#define GW_TIMER_H

#include <stddef.h>
#include <stdint.h>

enum { GW_TIMER_SLOTS = 4096, GW_TIMER_TICK_MS = 16 };
#define GW_TIMER_NONE UINT32_MAX

struct gw_timer {
    uint32_t next;
    uint32_t previous;   // an index; the slot's number with the top bit set for the first; GW_TIMER_NONE: not armed
};

struct gw_wheel {
    uint8_t *timers;     // the first timer of the owner's array
    size_t stride;
    uint32_t now;        // every slot up to this tick has been handed out
    uint32_t armed;
    uint64_t summary;    // bit n: occupied[n] is not 0
    uint64_t occupied[GW_TIMER_SLOTS / 64];
    uint32_t heads[GW_TIMER_SLOTS];
};

static inline uint32_t gw_ticks(uint64_t ms) {
    return (uint32_t)((ms + GW_TIMER_TICK_MS - 1) / GW_TIMER_TICK_MS);
}
// Ticks wrap around after two years: they are compared by distance.
static inline int gw_tick_before(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }

// Indexes must stay below 2^31.
void gw_wheel_init(struct gw_wheel *wheel, struct gw_timer *first, size_t stride, uint32_t now);
void gw_timer_init(struct gw_timer *timer);

static inline struct gw_timer *gw_wheel_timer(const struct gw_wheel *wheel, uint32_t index) {
    return (struct gw_timer *)(void *)(wheel->timers + index * wheel->stride);
}
static inline int gw_timer_is_armed(const struct gw_timer *timer) { return timer->previous != GW_TIMER_NONE; }

// Arms or re-arms; a tick that has passed counts as the next one.
void gw_timer_arm(struct gw_wheel *wheel, uint32_t index, uint32_t tick);
void gw_timer_cancel(struct gw_wheel *wheel, uint32_t index);   // harmless when it is not armed

// Takes one timer that is due at now off the wheel, or returns GW_TIMER_NONE when none is left.
uint32_t gw_wheel_expire(struct gw_wheel *wheel, uint32_t now);

// The tick at which the next slot is due: 1, or 0 for an empty wheel.
int gw_wheel_next(const struct gw_wheel *wheel, uint32_t *tick);

#endif
