// From a socket through the core to a handler and back, and how a reactor starts and ends.
import Reactor
import TestSupport
import Testing

extension ReactorTests {
    @Suite struct SocketTests {
        @Test(arguments: [0, 1, 125, 126, 65_535, 65_536], [Backend.ioURing, .epoll])
        func message__comes_back_as_it_was_sent(size: Int, backend: Backend) async throws {
            var settings = ReactorSettings()
            settings.backend = backend
            try await withReactor(Echo(), settings: settings) { reactor, port in
                #expect(reactor.carrier.name == backend.rawValue)
                #expect(reactor.carrier.refusal == nil)
                let peer = try WebSocketPeer(port: port)
                let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                try peer.send(payload, opcode: 2)
                #expect(try peer.receive() == .init(opcode: 2, payload: payload))
                try peer.send("gr\u{fc}\u{df}e")
                let answer = try peer.receive()
                #expect(answer.opcode == 1)
                #expect(answer.text == "gr\u{fc}\u{df}e")
            }
        }

        @Test func copied_payload__outlives_its_turn() async throws {
            let echo = Echo()
            try await withReactor(echo) { _, port in
                let peer = try WebSocketPeer(port: port)
                let sent = (0..<200).map { Array("message \($0)".utf8) }
                for payload in sent { try peer.send(payload, opcode: 2) }
                for payload in sent { #expect(try peer.receive().payload == payload) }
                let messages = echo.seen.withLock { seen in seen.filter { $0.kind == .message } }
                #expect(messages.map(\.payload) == sent)
            }
        }

        @Test func leased_payload__stays_as_it_is_while_others_come_and_go() async throws {
            try await withReactor(Keeper()) { _, port in
                let peer = try WebSocketPeer(port: port)
                let kept = Array("keep".utf8) + (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
                try peer.send(kept, opcode: 2)
                // More than all receive buffers of the core together.
                let noise = [UInt8](repeating: 0xee, count: 16_000)
                for _ in 0..<600 {
                    try peer.send(noise, opcode: 2)
                    #expect(try peer.receive().payload.count == noise.count)
                }
                try peer.send("give")
                #expect(try peer.receive().payload == kept)
            }
        }

        @Test func opened__carries_the_token_and_the_agreed_subprotocol() async throws {
            var settings = ReactorSettings()
            settings.subprotocols = ["first", "second"]
            let echo = Echo()
            try await withReactor(echo, settings: settings) { _, port in
                _ = try WebSocketPeer(
                    port: port, headers: ["Authorization: Bearer abc", "Sec-WebSocket-Protocol: other, second"])
                try await eventually { echo.seen.withLock { $0.count == 2 } }
                let seen = echo.seen.withLock { $0 }
                #expect(seen.first == .init(kind: .opened, payload: Array("Bearer abc".utf8), subprotocol: 1))
                #expect(seen.last?.kind == .closed)
                #expect(throws: PeerError.self) {
                    try WebSocketPeer(port: port, headers: ["Sec-WebSocket-Protocol: unknown"])
                }
            }
        }

        @Test func message_over_the_limit__closes_with_1009() async throws {
            var settings = ReactorSettings()
            settings.messageBytesMax = 1024
            try await withReactor(Echo(), settings: settings) { _, port in
                let peer = try WebSocketPeer(port: port)
                try peer.send([UInt8](repeating: 7, count: 1024), opcode: 2)
                #expect(try peer.receive().payload.count == 1024)
                try peer.send([UInt8](repeating: 7, count: 1025), opcode: 2)
                #expect(try peer.receive().closeCode == 1009)
                #expect(peer.hasEnded())
            }
        }

        @Test func group__serves_one_port_from_several_threads() async throws {
            let group = try await ReactorGroup.start(
                count: 2, settings: ReactorSettings(), address: "127.0.0.1", port: 0
            ) { _ in Echo() }
            #expect(group.reactors.map(\.index) == [0, 1])
            for number in 0..<32 {
                let peer = try WebSocketPeer(port: group.port)
                try peer.send("\(number)")
                #expect(try peer.receive().text == "\(number)")
            }
            await group.stop()
        }

        @Test func port_in_use__is_told_as_such() async throws {
            try await withReactor(Echo()) { _, port in
                let error = await #expect(throws: GatewayError.self) {
                    _ = try await ReactorGroup.start(
                        count: 2, settings: ReactorSettings(), address: "127.0.0.1", port: port
                    ) { _ in Echo() }
                }
                #expect(error?.isAddressInUse == true)
                #expect(error?.isRingRefused == false)
            }
        }

        @Test func stop__ends_connections_port_and_thread() async throws {
            weak var handler: Echo?
            var peer: WebSocketPeer?
            var port: UInt16 = 0
            do {
                let echo = Echo()
                handler = echo
                try await withReactor(echo) {
                    port = $1
                    peer = try WebSocketPeer(port: port)
                }
            }
            #expect(peer?.hasEnded() == true)
            #expect(throws: PeerError.self) { try WebSocketPeer(port: port) }
            // The thread's body is what held the handler.
            try await eventually { handler == nil }
        }
    }
}
