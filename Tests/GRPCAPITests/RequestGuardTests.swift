// What a call may send, how long it may last, and what it holds of the memory for all.
import Connections
import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2
import Testing

@testable import GRPCAPI

@Suite struct RequestGuardTests {
    typealias Payload = HTTP2Frame.FramePayload

    private let ledger = ConnectionLedger<String>(strangersPerAddress: 2, connectionsMax: 4096)
    private let bounds = RequestGuard.Bounds(longRequests: ["s/Long": 200_000], longCalls: ["s/Watch"])

    /// A call on a connection of its own, of which the head has arrived.
    private func begin(_ path: String, on connection: String, network: String? = nil) throws -> EmbeddedChannel {
        #expect(ledger.admit(connection, network: network) {})
        return try another(path, on: connection)
    }

    private func another(_ path: String, on connection: String) throws -> EmbeddedChannel {
        let guardian = ConnectionGuard(GRPCAPIConfiguration(), name: connection)
        let channel = EmbeddedChannel(handler: RequestGuard(bounds: bounds, ledger: ledger, connection: guardian))
        try channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
        try channel.writeInbound(Payload.headers(.init(headers: [":path": path])))
        #expect(try channel.readInbound(as: Payload.self) != nil)
        return channel
    }

    /// Whether the bytes came through.
    private func send(_ bytes: Int, to channel: EmbeddedChannel) throws -> Bool {
        try channel.writeInbound(Payload.data(.init(data: .byteBuffer(ByteBuffer(repeating: 7, count: bytes)))))
        return try channel.readInbound(as: Payload.self) != nil
    }

    /// The headers that end a call, where the guard has ended it.
    private func refusal(of channel: EmbeddedChannel) throws -> HPACKHeaders? {
        guard case .headers(let headers) = try channel.readOutbound(as: Payload.self), headers.endStream else { return nil }
        return headers.headers
    }

    @Test(arguments: [("/s/Short", 64 * 1024 + 5), ("/s/Long", 200_005), ("", 64 * 1024 + 5), ("/", 64 * 1024 + 5)])
    func request__beyond_its_methods_bound_is_refused_in_whatever_pieces(path: String, bytes: Int) throws {
        let whole = try begin(path, on: "a")
        #expect(try send(bytes, to: whole))
        #expect(try !send(1, to: whole))
        let refused = try #require(try refusal(of: whole))
        #expect(refused.first(name: "grpc-status") == "8")
        #expect(refused.first(name: ":status") == "200")
        #expect(!whole.isActive)

        let pieces = try begin(path, on: "b")
        for _ in 0..<bytes { #expect(try send(1, to: pieces)) }
        #expect(try !send(1, to: pieces))
        #expect(try !send(1, to: pieces))
    }

    @Test func refused__says_nothing_twice() throws {
        let channel = try begin("/s/Short", on: "a")
        try channel.writeOutbound(Payload.headers(.init(headers: [":status": "200"])))
        _ = try channel.readOutbound(as: Payload.self)
        #expect(try !send(100_000, to: channel))
        let refused = try #require(try refusal(of: channel))
        #expect(refused.first(name: ":status") == nil)
        #expect(refused.first(name: "grpc-status") == "8")
        #expect(throws: (any Error).self) { try channel.writeOutbound(Payload.headers(.init(headers: [:]))) }
        #expect(try channel.readOutbound(as: Payload.self) == nil)
    }

    @Test func call__is_ended_in_a_minute_unless_it_may_last() throws {
        let (ordinary, lasting) = (try begin("/s/Short", on: "a"), try begin("/s/Watch", on: "b"))
        for channel in [ordinary, lasting] { channel.embeddedEventLoop.advanceTime(by: .seconds(59)) }
        #expect(ordinary.isActive && lasting.isActive)
        for channel in [ordinary, lasting] { channel.embeddedEventLoop.advanceTime(by: .seconds(3600)) }
        #expect(!ordinary.isActive && lasting.isActive)
    }

    @Test func requests_of_strangers__have_a_sixteenth_and_those_of_others_the_rest() throws {
        let share = ConnectionLedger<String>.strangerBytesMax / 65_536
        let strangers = try (0..<2).map { try begin("/s/Short", on: "stranger \($0)", network: "10.0.0.1") }
        var open = strangers
        for index in 0..<share {
            if index >= open.count { open.append(try another("/s/Short", on: "stranger \(index % 2)")) }
            #expect(try send(65_536, to: open[index]))
        }
        let refused = try another("/s/Short", on: "stranger 0")
        #expect(try !send(1, to: refused))
        #expect(try refusal(of: refused)?.first(name: "retry-after-ms") == "1000")
        // Another address, and one of these that shows who it is.
        #expect(try send(65_536, to: try begin("/s/Short", on: "elsewhere", network: "10.0.0.2")))
        ledger.trust("stranger 0")
        #expect(try send(65_536, to: try another("/s/Short", on: "stranger 0")))
        #expect(try send(65_536, to: try another("/s/Short", on: "stranger 1")))
    }

    @Test func bytes__are_given_back_when_a_call_or_its_connection_ends() throws {
        for round in 0..<3 {
            var calls: [EmbeddedChannel] = []
            #expect(ledger.admit("a", network: nil) {})
            while calls.count < ConnectionLedger<String>.requestBytesMax / 65_536 {
                calls.append(try another("/s/Short", on: "a"))
                #expect(try send(65_536, to: calls[calls.count - 1]))
            }
            #expect(try !send(1, to: try another("/s/Short", on: "a")))
            let full = ConnectionLedger<String>.requestBytesMax
            #expect(ledger.metrics(of: "grpc").contains("ringway_grpc_request_bytes \(full)\n"))
            if round == 0 { ledger.end("a") }
            for call in calls { try call.close().wait() }
            if round > 0 { ledger.end("a") }
            #expect(ledger.metrics(of: "grpc").contains("ringway_grpc_request_bytes 0\n"))
        }
    }
}
