// The timer wheel against a plain list of deadlines.
#include "gateway_client.h"
#include "gw_timer.h"

enum { TIMERS = 300 };

struct owner {
    uint64_t unrelated;
    struct gw_timer timer;
};

static struct owner owners[TIMERS];
static struct gw_wheel wheel;

static void reset(uint32_t now) {
    for (unsigned i = 0; i < TIMERS; i++) {
        gw_timer_init(&owners[i].timer);
    }
    gw_wheel_init(&wheel, &owners[0].timer, sizeof *owners, now);
}

static void wheel__is_empty_at_first(void) {
    uint32_t tick;
    reset(7);
    CHECK(!gw_wheel_next(&wheel, &tick));
    CHECK(gw_wheel_expire(&wheel, 1000000) == GW_TIMER_NONE);
}

static void wheel__fires_at_its_tick_and_not_before(void) {
    uint32_t tick;
    reset(100);
    gw_timer_arm(&wheel, 3, 105);
    CHECK(gw_wheel_next(&wheel, &tick) && tick == 105);
    CHECK(gw_wheel_expire(&wheel, 104) == GW_TIMER_NONE);
    CHECK(gw_wheel_expire(&wheel, 105) == 3);
    CHECK(gw_wheel_expire(&wheel, 105) == GW_TIMER_NONE);
    CHECK(wheel.armed == 0 && !gw_timer_is_armed(&owners[3].timer));
}

static void wheel__takes_a_past_deadline_for_the_next_tick(void) {
    uint32_t tick;
    reset(100);
    gw_timer_arm(&wheel, 0, 40);
    CHECK(gw_wheel_next(&wheel, &tick) && tick == 101);
}

static void wheel__fires_early_beyond_its_horizon(void) {
    uint32_t tick;
    reset(0);
    gw_timer_arm(&wheel, 0, 10 * GW_TIMER_SLOTS);
    CHECK(gw_wheel_next(&wheel, &tick) && tick == GW_TIMER_SLOTS - 1);
}

static void wheel__cancels_first_middle_and_last_of_a_slot(void) {
    for (uint32_t cancelled = 0; cancelled < 3; cancelled++) {
        reset(0);
        for (uint32_t i = 0; i < 3; i++) {
            gw_timer_arm(&wheel, i, 9);
        }
        gw_timer_cancel(&wheel, cancelled);
        gw_timer_cancel(&wheel, cancelled);
        unsigned fired = 0;
        uint32_t index;
        while ((index = gw_wheel_expire(&wheel, 9)) != GW_TIMER_NONE) {
            CHECK(index != cancelled);
            fired++;
        }
        CHECK(fired == 2);
    }
}

// Random arming, cancelling and passing of time, over a wrap of the tick counter; the list knows better.
static void wheel__agrees_with_a_list_of_deadlines(void) {
    uint32_t now = UINT32_MAX - 3000, deadlines[TIMERS];
    uint8_t armed[TIMERS] = { 0 };
    unsigned random = 12345;
    reset(now);
    for (unsigned step = 0; step < 200000; step++) {
        random = random * 1664525u + 1013904223u;
        const uint32_t index = (random >> 8) % TIMERS;
        if (random % 7 < 4) {
            deadlines[index] = now + 1 + (random >> 16) % (GW_TIMER_SLOTS - 1);
            gw_timer_arm(&wheel, index, deadlines[index]);
            armed[index] = 1;
        } else if (random % 7 < 5) {
            gw_timer_cancel(&wheel, index);
            armed[index] = 0;
        } else {
            now += (random >> 20) % 50;
            uint32_t fired;
            while ((fired = gw_wheel_expire(&wheel, now)) != GW_TIMER_NONE) {
                CHECK(armed[fired] && !gw_tick_before(now, deadlines[fired]));
                armed[fired] = 0;
            }
            uint32_t next, expected = now + GW_TIMER_SLOTS;
            for (unsigned i = 0; i < TIMERS; i++) {
                CHECK(!armed[i] || gw_tick_before(now, deadlines[i]));
                if (armed[i] && gw_tick_before(deadlines[i], expected)) {
                    expected = deadlines[i];
                }
            }
            CHECK(gw_wheel_next(&wheel, &next) == (expected != now + GW_TIMER_SLOTS));
            CHECK(expected == now + GW_TIMER_SLOTS || next == expected);
        }
    }
}

int main(void) {
    RUN(wheel__is_empty_at_first);
    RUN(wheel__fires_at_its_tick_and_not_before);
    RUN(wheel__takes_a_past_deadline_for_the_next_tick);
    RUN(wheel__fires_early_beyond_its_horizon);
    RUN(wheel__cancels_first_middle_and_last_of_a_slot);
    RUN(wheel__agrees_with_a_list_of_deadlines);
    return 0;
}
