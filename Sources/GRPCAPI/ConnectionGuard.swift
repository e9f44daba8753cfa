// The first handler of a gRPC connection: knows when bytes come and calls are under way, takes leave of who is idle, old, or
// on a node that stops, and closes the connection of who sends nothing or does not go. On the connection's event loop alone.
//
// The library behind it can take leave, too, but refuses from then on the calls of a client that has not heard of it yet, and
// ends the connection with all others. So the client is told here, by a GOAWAY of the highest stream, and the library only
// when the client has had time to hear it.
import NIOCore

final class ConnectionGuard: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// The preface and the head of the SETTINGS frame that must follow it (RFC 9113 section 3.4).
    private static let openingBytes = 24 + 9
    /// A GOAWAY frame: streams up to 2^31 - 1 are served, NO_ERROR (RFC 9113 section 6.8).
    private static let goAway: [UInt8] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]
    /// From the word that a connection ends to the first call that is refused.
    static let notice: TimeAmount = .seconds(1)
    /// From there to the end: longer than any call waits for its answer.
    static let grace: TimeAmount = .seconds(12)

    /// As gRPC names the other end of the connection.
    let name: String
    private let openingTimeout, silenceMax, idleTimeout, ageMax: TimeAmount
    private var context: ChannelHandlerContext?
    private var bytesBeforeOpen = openingBytes
    private var lastHeard = NIODeadline.uptimeNanoseconds(0)
    private var calls = 0
    private var isLeaving = false
    private var opening, silence, idle, age, end: Scheduled<Void>?

    init(_ configuration: GRPCAPIConfiguration, name: String) {
        self.name = name
        openingTimeout = .init(configuration.openingTimeout)
        silenceMax = .init(configuration.keepalive + configuration.signOfLifeTimeout * 2)
        idleTimeout = .init(configuration.idleTimeout)
        ageMax = .init(configuration.ageMax)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        lastHeard = context.eventLoop.now
        opening = after(openingTimeout) { $0.close(promise: nil) }
        age = after(ageMax) { [self] _ in takeLeave() }
        idle = after(idleTimeout) { [self] _ in takeLeave() }
        watch(for: silenceMax)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        for timer in [opening, silence, idle, age, end] { timer?.cancel() }
        context.fireChannelInactive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastHeard = context.eventLoop.now
        if bytesBeforeOpen > 0 {
            bytesBeforeOpen -= unwrapInboundIn(data).readableBytes
            if bytesBeforeOpen <= 0 { opening?.cancel() }
        }
        context.fireChannelRead(data)
    }

    /// The node stops.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is ChannelShouldQuiesceEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        // Who has not begun to speak has nothing to lose.
        if bytesBeforeOpen > 0 { context.close(promise: nil) } else { takeLeave() }
    }

    // MARK: Calls

    func callBegan() {
        calls += 1
        idle?.cancel()
    }

    func callEnded() {
        calls -= 1
        if calls == 0 { idle = after(idleTimeout) { [self] _ in takeLeave() } }
    }

    // MARK: The end

    private func takeLeave() {
        guard let context, !isLeaving else { return }
        isLeaving = true
        context.writeAndFlush(NIOAny(ByteBuffer(bytes: Self.goAway)), promise: nil)
        end = after(Self.notice) { [self] context in
            context.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
            end = after(Self.grace) { $0.close(promise: nil) }
        }
    }

    private func watch(for delay: TimeAmount) {
        silence = after(delay) { [self] context in
            let rest = lastHeard + silenceMax - context.eventLoop.now
            if rest > .zero { watch(for: rest) } else { context.close(promise: nil) }
        }
    }

    private func after(_ delay: TimeAmount, _ work: @escaping (ChannelHandlerContext) -> Void) -> Scheduled<Void>? {
        context?.eventLoop.assumeIsolated().scheduleTask(in: delay) { [self] in
            if let context { work(context) }
        }
    }
}
