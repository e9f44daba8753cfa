// The first handler of a gRPC call: counts the bytes of its request, which are refused above the method's bound or when
// there is no room for them, before they are collected; and ends a call that is not over in its time. What a client is told
// is a status like any other. On the connection's event loop alone.
import Connections
import GRPCCore
import NIOCore
import NIOHPACK
import NIOHTTP2

final class RequestGuard: ChannelDuplexHandler {
    typealias InboundIn = HTTP2Frame.FramePayload
    typealias InboundOut = HTTP2Frame.FramePayload
    typealias OutboundIn = HTTP2Frame.FramePayload
    typealias OutboundOut = HTTP2Frame.FramePayload

    struct Bounds: Sendable {
        private static let ordinary = 64 * 1024
        /// Of a call from its head to its end; an answer that is found has this long to be taken.
        static let callTimeout: TimeAmount = .seconds(60)

        /// By their full names.
        let longRequests: [String: Int]
        /// Those that are over when they like.
        let longCalls: Set<String>

        var bytesMax: Int { max(Self.ordinary, longRequests.values.max() ?? 0) }

        func bytesMax(of method: Substring) -> Int {
            longRequests[String(method)] ?? Self.ordinary
        }
    }

    private enum Phase {
        case awaitingHead
        /// `rest`: how many more bytes may come.
        case receiving(rest: Int)
        case refused
    }

    /// A message's head: whether it is compressed, and its length.
    private static let messageHeadBytes = 5

    private let bounds: Bounds
    private let ledger: ConnectionLedger<String>
    private let connection: ConnectionGuard
    private var phase = Phase.awaitingHead
    private var held = 0
    private var hasAnswerBegun = false
    private var end: Scheduled<Void>?

    init(bounds: Bounds, ledger: ConnectionLedger<String>, connection: ConnectionGuard) {
        self.bounds = bounds
        self.ledger = ledger
        self.connection = connection
    }

    func handlerAdded(context: ChannelHandlerContext) {
        connection.callBegan()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), phase) {
        case (.headers(let head), .awaitingHead):
            let method = (head.headers.first(name: ":path") ?? "").dropFirst()
            phase = .receiving(rest: bounds.bytesMax(of: method) + Self.messageHeadBytes)
            if !bounds.longCalls.contains(String(method)) {
                end = context.eventLoop.scheduleTask(in: Bounds.callTimeout) { [channel = context.channel] in
                    channel.close(promise: nil)
                }
            }
            context.fireChannelRead(data)
        case (.data(let part), .receiving(let rest)):
            let bytes = part.data.readableBytes
            guard bytes <= rest else {
                refuse(context, "the request is too large", retryAfter: nil)
                return
            }
            guard ledger.take(bytes, for: connection.name) else {
                refuse(context, "too many requests at once; try again", retryAfter: 1000)
                return
            }
            held += bytes
            phase = .receiving(rest: rest - bytes)
            context.fireChannelRead(data)
        case (.data, _), (.headers, .refused):
            break
        default:
            context.fireChannelRead(data)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        end?.cancel()
        connection.callEnded()
        ledger.give(held, of: connection.name)
        held = 0
        context.fireChannelInactive()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if case .refused = phase {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        if case .headers = unwrapOutboundIn(data) { hasAnswerBegun = true }
        context.write(data, promise: promise)
    }

    private func refuse(_ context: ChannelHandlerContext, _ message: String, retryAfter: Int?) {
        phase = .refused
        var headers = HPACKHeaders()
        if !hasAnswerBegun {
            headers.add(name: ":status", value: "200")
            headers.add(name: "content-type", value: "application/grpc")
        }
        headers.add(name: "grpc-status", value: "\(Status.Code.resourceExhausted.rawValue)")
        headers.add(name: "grpc-message", value: message)
        if let retryAfter { headers.add(name: "retry-after-ms", value: "\(retryAfter)") }
        let end = HTTP2Frame.FramePayload.headers(.init(headers: headers, endStream: true))
        let told = context.eventLoop.makePromise(of: Void.self)
        told.futureResult.whenComplete { [channel = context.channel] _ in channel.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(end), promise: told)
    }
}
