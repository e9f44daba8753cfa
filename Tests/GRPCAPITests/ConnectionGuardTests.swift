// Who is closed and when, on a loop whose time the tests set.
import NIOCore
import NIOEmbedded
import Testing

@testable import GRPCAPI

@Suite struct ConnectionGuardTests {
    private static let configuration = GRPCAPIConfiguration(
        openingTimeout: .seconds(10), idleTimeout: .seconds(300), ageMax: .seconds(3600), keepalive: .seconds(60))

    private let guardian = ConnectionGuard(Self.configuration, name: "ipv4:127.0.0.1:1")

    private func open(_ guardian: ConnectionGuard? = nil) throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(handler: guardian ?? ConnectionGuard(Self.configuration, name: ""))
        try channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
        return channel
    }

    private func isOpen(_ channel: EmbeddedChannel, after seconds: Int64) -> Bool {
        channel.embeddedEventLoop.advanceTime(by: .seconds(seconds))
        return channel.isActive
    }

    /// Whether the client was told to go: a GOAWAY frame without an error.
    private func isTold(_ channel: EmbeddedChannel) throws -> Bool {
        guard let frame = try channel.readOutbound(as: ByteBuffer.self) else { return false }
        return Array(frame.readableBytesView) == [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]
    }

    private func hear(_ bytes: Int, on channel: EmbeddedChannel) throws {
        try channel.writeInbound(ByteBuffer(repeating: 0, count: bytes))
    }

    @Test(arguments: [0, 1, 12, 24, 32])
    func connection__that_does_not_begin_in_time_is_closed(bytes: Int) throws {
        let channel = try open()
        if bytes > 0 { try hear(bytes, on: channel) }
        #expect(isOpen(channel, after: 9))
        #expect(!isOpen(channel, after: 1))
    }

    @Test func connection__that_begins_byte_by_byte_has_no_more_time() throws {
        let channel = try open()
        for _ in 0..<9 {
            try hear(1, on: channel)
            #expect(isOpen(channel, after: 1))
        }
        #expect(!isOpen(channel, after: 1))
    }

    @Test func connection__that_is_not_heard_is_closed_and_one_that_is_stays() throws {
        let (silent, heard) = (try open(), try open())
        for channel in [silent, heard] { try hear(33, on: channel) }
        #expect(isOpen(silent, after: 79))
        #expect(!isOpen(silent, after: 1))
        // Not as long as it may be idle.
        for _ in 0..<4 {
            #expect(isOpen(heard, after: 60))
            try hear(17, on: heard)
        }
    }

    @Test func idle__is_told_and_whoever_calls_is_not() throws {
        let (idle, calling) = (try open(), try open(guardian))
        for minute in 0..<5 {
            try hear(40, on: idle)
            try hear(40, on: calling)
            if minute == 4 { guardian.callBegan() }
            #expect(isOpen(idle, after: 60))
            #expect(isOpen(calling, after: 60))
        }
        #expect(try isTold(idle))
        #expect(try !isTold(calling))
        guardian.callBegan()
        guardian.callEnded()
        for _ in 0..<10 {
            try hear(40, on: calling)
            #expect(isOpen(calling, after: 60))
        }
        #expect(try !isTold(calling))
        guardian.callEnded()
        for _ in 0..<5 {
            #expect(try !isTold(calling))
            try hear(40, on: calling)
            #expect(isOpen(calling, after: 60))
        }
        #expect(try isTold(calling))
    }

    @Test func connection__is_told_at_its_age_and_closed_whatever_it_says() throws {
        let channel = try open(guardian)
        guardian.callBegan()
        for _ in 0..<60 {
            #expect(try !isTold(channel))
            try hear(40, on: channel)
            #expect(isOpen(channel, after: 60))
        }
        #expect(try isTold(channel))
        for _ in 0..<12 {
            try hear(40, on: channel)
            #expect(isOpen(channel, after: 1))
        }
        #expect(!isOpen(channel, after: 1))
        #expect(try !isTold(channel))
    }

    @Test func library__is_told_when_the_client_has_had_time_to_hear_it() throws {
        final class Listener: ChannelInboundHandler {
            typealias InboundIn = Any
            var isTold = false
            func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
                isTold = isTold || event is ChannelShouldQuiesceEvent
            }
        }
        let (channel, listener) = (try open(), Listener())
        try channel.pipeline.syncOperations.addHandler(listener)
        try hear(40, on: channel)
        channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        #expect(try isTold(channel))
        #expect(!listener.isTold)
        #expect(isOpen(channel, after: 1))
        #expect(listener.isTold)
    }

    @Test func drain__ends_at_once_who_has_not_begun_and_the_others_after_a_grace() throws {
        let (mute, speaking) = (try open(), try open())
        try hear(40, on: speaking)
        for channel in [mute, speaking] { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
        #expect(!isOpen(mute, after: 0))
        #expect(isOpen(speaking, after: 12))
        #expect(!isOpen(speaking, after: 1))
    }
}
