// Closes a connection that sends bytes of which nothing comes: heads, chunks and line breaks without end, which the decoder
// keeps or skips for as long as they come. Two handlers, one before the decoder and one behind it, on one event loop.
import NIOCore
import NIOHTTPTypes

/// Before the decoder: counts what has come since the last part of a request.
final class UndecodedBytes: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    /// More than the largest head that the decoder takes, and what one read may add to it.
    private static let bytesMax = 192 * 1024

    private var count = 0

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        count += unwrapInboundIn(data).readableBytes
        guard count <= Self.bytesMax else {
            context.close(promise: nil)
            return
        }
        context.fireChannelRead(data)
    }

    fileprivate func reset() {
        count = 0
    }
}

/// Behind the decoder: something came.
final class DecodedPart: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart

    private var bytes: UndecodedBytes?

    func handlerAdded(context: ChannelHandlerContext) {
        bytes = try? context.pipeline.syncOperations.handler(type: UndecodedBytes.self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytes?.reset()
        context.fireChannelRead(data)
    }
}
