// One event to many sockets of a reactor: what each reads, and in how many buffers of the core it lay meanwhile.
import Inbox
import Reactor
import Synchronization
import TestSupport
import Testing

@testable import Gateway

@Suite(.serialized) struct FanOutTests {
    private static let devices = 6

    private func event(bytes: Int) -> LogEvent {
        // Field 100, of bytes: what a later version may add. JSON leaves it out.
        LogEvent(seq: 7, at: .now, payload: [0xa2, 0x06, .init(truncatingIfNeeded: bytes | 0x80), .init(bytes >> 7)]
            + .init(repeating: 1, count: bytes))
    }

    /// Sends an event to so many devices of each format, and returns what the core's buffers held more for it.
    private func bufferBytes(of event: LogEvent, deflate: DeflateSettings = .init()) async throws -> UInt64 {
        let handler = FanOut(event, sockets: 2 * Self.devices, deflate: deflate)
        var settings = ReactorSettings()
        settings.subprotocols = FrameFormat.subprotocols
        settings.deflate = deflate
        let group = try await ReactorGroup.start(count: 1, settings: settings, address: "127.0.0.1", port: 0) { _ in handler }
        do {
            var peers: [(format: FrameFormat, socket: WebSocketPeer)] = []
            for format in FrameFormat.allCases {
                let header = "Sec-WebSocket-Protocol: \(FrameFormat.subprotocols[format.rawValue])"
                for _ in 0..<Self.devices {
                    peers.append((format, try WebSocketPeer(port: group.port, headers: [header])))
                }
            }
            try peers[0].socket.send("go")
            for (format, peer) in peers {
                let expected = try #require(format.encode(event))
                #expect(try peer.receive() == .init(opcode: format == .json ? 1 : 2, payload: expected))
            }
        } catch {
            await group.stop()
            throw error
        }
        await group.stop()
        #expect(handler.outcomes.withLock { $0 } == Array(repeating: .queued, count: 2 * Self.devices))
        return handler.grown.load(ordering: .relaxed)
    }

    @Test func event_for_many_devices__lies_in_one_buffer_a_format() async throws {
        // 512 bytes is the smallest buffer of the core.
        #expect(try await bufferBytes(of: event(bytes: 300)) == 2 * 512)
    }

    @Test func long_event__is_shared_where_nobody_can_have_agreed_to_compression() async throws {
        var deflate = DeflateSettings()
        deflate.isOn = false
        #expect(try await bufferBytes(of: event(bytes: 1500), deflate: deflate) == 2048 + 512)
    }

    @Test func long_event__goes_to_each_by_itself_where_they_can() async throws {
        // More than what leaves without a buffer.
        let devices = UInt64(Self.devices)
        #expect(try await bufferBytes(of: event(bytes: 3000)) == devices * 8192 + 512)
    }
}

/// Sends one event to all that have opened, when one of them says anything.
private final class FanOut: ReactorHandler {
    let outcomes = Mutex<[SendOutcome?]>([])
    /// Bytes in buffers of the core, after all was queued less before.
    let grown = Atomic<UInt64>(0)
    private let event: LogEvent
    private let sockets: Int
    private let deflate: DeflateSettings
    /// Only the reactor's thread touches it.
    private nonisolated(unsafe) var opened: [(connection: ConnectionID, format: FrameFormat)] = []

    init(_ event: LogEvent, sockets: Int, deflate: DeflateSettings) {
        self.event = event
        self.sockets = sockets
        self.deflate = deflate
    }

    func started(on reactor: Reactor) {}

    func drain(_ batch: borrowing EventBatch, on reactor: Reactor) {
        batch.forEach { event in
            switch event.kind {
            case .opened: opened.append((event.connection, FrameFormat(rawValue: event.subprotocol ?? 0) ?? .json))
            case .message: fanOut(on: reactor)
            case .writable, .closed: break
            }
        }
    }

    private func fanOut(on reactor: Reactor) {
        let before = reactor.statistics.poolBytes
        var outgoing = OutgoingEvent(event, sockets: sockets, on: reactor, deflate: deflate)
        for (connection, format) in opened {
            let outcome = outgoing.send(to: connection, in: format)
            outcomes.withLock { $0.append(outcome) }
        }
        grown.store(reactor.statistics.poolBytes - before, ordering: .relaxed)
    }

    func turned(on reactor: Reactor) {}
}
