// Who takes nothing is closed, on a loop whose time the test sets.
import Connections
import NIOCore
import NIOEmbedded
import Testing

@Suite struct ProgressGuardTests {
    private func isOpen(_ channel: EmbeddedChannel, after seconds: Int64) -> Bool {
        channel.embeddedEventLoop.advanceTime(by: .seconds(seconds))
        return channel.isActive
    }

    @Test func connection__that_takes_nothing_is_closed_and_one_that_takes_something_stays() throws {
        let channel = EmbeddedChannel(handler: ProgressGuard(timeout: .seconds(30)))
        try channel.connect(to: .init(ipAddress: "127.0.0.1", port: 1)).wait()
        for _ in 0..<5 {
            channel.isWritable = false
            channel.pipeline.fireChannelWritabilityChanged()
            #expect(isOpen(channel, after: 29))
            channel.isWritable = true
            channel.pipeline.fireChannelWritabilityChanged()
            #expect(isOpen(channel, after: 29))
        }
        channel.isWritable = false
        channel.pipeline.fireChannelWritabilityChanged()
        #expect(!isOpen(channel, after: 30))
    }
}
