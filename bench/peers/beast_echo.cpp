// A WebSocket echo on Boost.Beast, to compare with: asynchronous, one thread, no extensions.
//
//   beast_echo --port N
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace asio = boost::asio;
namespace beast = boost::beast;
using tcp = asio::ip::tcp;

// Reads a message, writes it back, reads the next; it lives as long as an operation of its own is under way.
class Session : public std::enable_shared_from_this<Session> {
public:
    explicit Session(tcp::socket socket) : stream(std::move(socket)) {}

    void start() {
        stream.next_layer().set_option(tcp::no_delay(true));
        // One frame a message, as the others answer.
        stream.auto_fragment(false);
        stream.async_accept([self = shared_from_this()](beast::error_code error) {
            if (!error) {
                self->read();
            }
        });
    }

private:
    void read() {
        stream.async_read(buffer, [self = shared_from_this()](beast::error_code error, std::size_t) {
            if (!error) {
                self->write();
            }
        });
    }

    void write() {
        stream.text(stream.got_text());
        stream.async_write(buffer.data(), [self = shared_from_this()](beast::error_code error, std::size_t bytes) {
            if (!error) {
                self->buffer.consume(bytes);
                self->read();
            }
        });
    }

    beast::websocket::stream<tcp::socket> stream;
    beast::flat_buffer buffer;
};

static void accept_next(tcp::acceptor &acceptor) {
    acceptor.async_accept([&acceptor](beast::error_code error, tcp::socket socket) {
        if (!error) {
            std::make_shared<Session>(std::move(socket))->start();
        }
        accept_next(acceptor);
    });
}

int main(int argc, char **argv) {
    if (argc != 3 || std::strcmp(argv[1], "--port") != 0) {
        return 2;
    }
    asio::io_context context(1);
    const auto port = static_cast<unsigned short>(std::atoi(argv[2]));
    tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), port));
    accept_next(acceptor);
    asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&context](beast::error_code, int) { context.stop(); });
    context.run();
}
