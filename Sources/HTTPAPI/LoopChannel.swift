// Connections whose requests are served on the event loop that reads and writes them: from the bytes of a request to
// those of its answer no thread has to wake another, unless the answer waits for something.
//
// What runs there holds up the loop's other connections, so nothing long does: hashes and pictures have threads of their
// own, and the database's client has one.
import Connections
import HummingbirdCore
import Logging
import NIOCore
import ServiceKit

struct LoopChannel: ServerChildChannel {
    private let base: HTTP1Channel
    private let connections: HTTPConnections
    private let proxies: TrustedProxies
    private let progressTimeout: Duration

    init(_ base: HTTP1Channel, connections: HTTPConnections, proxies: TrustedProxies, progressTimeout: Duration) {
        self.base = base
        self.connections = connections
        self.proxies = proxies
        self.progressTimeout = progressTimeout
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        channel.eventLoop.makeCompletedFuture {
            let handlers = channel.pipeline.syncOperations
            try handlers.addHandler(StrangersGate(connections, proxies))
            try handlers.addHandler(ProgressGuard(timeout: progressTimeout))
            try handlers.addHandler(UndecodedBytes())
        }.flatMap {
            base.setup(channel: channel, logger: logger)
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        let executor = LoopExecutor(value.channel.eventLoop)
        await LoopExecutor.$current.withValue(executor) {
            await withTaskExecutorPreference(executor) { await base.handle(value: value, logger: logger) }
        }
    }
}

/// Closes a connection that its address may not have, before anything is read from it.
private final class StrangersGate: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connections: HTTPConnections
    private let proxies: TrustedProxies

    init(_ connections: HTTPConnections, _ proxies: TrustedProxies) {
        self.connections = connections
        self.proxies = proxies
    }

    func channelActive(context: ChannelHandlerContext) {
        let name = ObjectIdentifier(context.channel)
        let peer = Peer(address: context.channel.remoteAddress?.ipAddress ?? "")
        let network = proxies.trusts(peer.address) ? nil : peer.network
        guard connections.admit(name, network: network, close: { [channel = context.channel] in channel.close(promise: nil) })
        else {
            context.close(promise: nil)
            return
        }
        context.channel.closeFuture.whenComplete { [connections] _ in connections.end(name) }
        context.fireChannelActive()
    }
}

final class LoopExecutor: TaskExecutor {
    /// Where the task's connection is served.
    @TaskLocal static var current: LoopExecutor?

    private let loop: any EventLoop

    init(_ loop: any EventLoop) {
        self.loop = loop
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

extension EventLoop {
    /// Calls on this loop, without a task.
    var timer: DeadlineTimer.Start {
        { time, end in
            let timer = self.scheduleTask(in: .init(time), end)
            return DeadlineTimer { timer.cancel() }
        }
    }
}
