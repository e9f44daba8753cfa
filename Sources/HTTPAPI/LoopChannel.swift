// Connections whose requests are served on the event loop that reads and writes them: from the bytes of a request to
// those of its answer no thread has to wake another, unless the answer waits for something.
//
// What runs there holds up the loop's other connections, so nothing long does: hashes and pictures have threads of their
// own, and the database's client has one.
import HummingbirdCore
import Logging
import NIOCore

struct LoopChannel: ServerChildChannel {
    private let base: HTTP1Channel

    init(_ base: HTTP1Channel) {
        self.base = base
    }

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        base.setup(channel: channel, logger: logger)
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        let executor = LoopExecutor(value.channel.eventLoop)
        await LoopExecutor.$current.withValue(executor) {
            await withTaskExecutorPreference(executor) { await base.handle(value: value, logger: logger) }
        }
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
