// A slowdown, planted by the gate's own test: linked with --wrap it stands between the codec's driver and the decoder
// and wastes some instructions a frame. No product links it.
#include "gw_ws.h"

enum gw_ws_result __real_gw_ws_decode(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                                      size_t length, size_t *consumed, struct gw_ws_item *item);
enum gw_ws_result __wrap_gw_ws_decode(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                                      size_t length, size_t *consumed, struct gw_ws_item *item);

enum { WASTED_STEPS = 4 };

enum gw_ws_result __wrap_gw_ws_decode(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                                      size_t length, size_t *consumed, struct gw_ws_item *item) {
    for (volatile unsigned step = 0; step < WASTED_STEPS; step++) {
    }
    return __real_gw_ws_decode(decoder, config, data, length, consumed, item);
}
