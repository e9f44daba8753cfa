// `ringway echo`: a WebSocket echo server on the same reactor and batch loop that messages take. For conformance
// and speed.
import ArgumentParser
import Reactor

struct Echo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Echo every WebSocket message, through the same core and loop that messages take.")

    @Option(help: "The port to listen on; 0 picks a free one.")
    var port: UInt16 = 7400

    @Option(help: "The address to listen on.")
    var address = "127.0.0.1"

    @Option(help: "Reactor threads; 0: one a core.")
    var reactors = 1

    @Option(help: "What carries the sockets: auto, io_uring or epoll.")
    var io = Backend.automatic

    @Option(help: "The longest message, in bytes.")
    var messageBytesMax = 16 * 1024 * 1024

    @Option(help: "The most fragments of a message.")
    var fragmentsMax = 1 << 20

    @Flag(inversion: .prefixedNo, help: "Agree to permessage-deflate where it is offered.")
    var deflate = true

    func run() async throws {
        var settings = ReactorSettings()
        settings.path = "/"
        settings.backend = io
        settings.messageBytesMax = messageBytesMax
        settings.fragmentsMax = fragmentsMax
        settings.outboundBytesMax = 2 * messageBytesMax + 64 * 1024
        settings.poolBytesMax = 1 << 30
        settings.deflate.isOn = deflate
        let reactors = try await ReactorGroup.start(
            count: reactors, settings: settings, address: address, port: port
        ) { _ in EchoHandler() }
        print("ringway echo: ws://\(address):\(reactors.port)/")
        OutputStream.flush()
        await Signals.firstOf(.terminate, .interrupt)
        await reactors.stop()
    }
}

extension Backend: ExpressibleByArgument {}

private final class EchoHandler: ReactorHandler {
    func started(on reactor: Reactor) {}

    func drain(_ batch: borrowing EventBatch, on reactor: Reactor) {
        batch.forEach { event in
            // The core holds back a connection's further messages while its queue is above half, so an echo is
            // refused only by a peer that is gone.
            if event.kind == .message { _ = reactor.sendBack(event) }
        }
    }

    func turned(on reactor: Reactor) {}
}
