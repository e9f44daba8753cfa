// Closes a connection whose other end takes no byte of what waits for it. On the connection's event loop alone.
import NIOCore

public final class ProgressGuard: ChannelInboundHandler {
    public typealias InboundIn = ByteBuffer

    private let timeout: TimeAmount
    private var end: Scheduled<Void>?

    public init(timeout: Duration) {
        self.timeout = .init(timeout)
    }

    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        end?.cancel()
        end = context.channel.isWritable
            ? nil
            : context.eventLoop.scheduleTask(in: timeout) { [channel = context.channel] in channel.close(promise: nil) }
        context.fireChannelWritabilityChanged()
    }

    public func channelInactive(context: ChannelHandlerContext) {
        end?.cancel()
        context.fireChannelInactive()
    }
}
