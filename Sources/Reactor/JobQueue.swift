// The Swift jobs of one reactor. Jobs enqueued on the reactor's own thread go to a list that needs no lock; jobs from
// elsewhere go to a locked one that is taken whole, once a turn. Neither has a bound, because `enqueue` must never
// block: a running job enqueues on its own thread. What bounds them is that each belongs to a bounded operation.
import CGateway
import Synchronization

final class JobQueue: Sendable {
    private struct Remote: ~Copyable {
        var jobs: [UnownedJob] = []
        var reactor: OpaquePointer?
    }

    /// Only the reactor's thread touches these.
    private nonisolated(unsafe) var local: [UnownedJob] = []
    private nonisolated(unsafe) var running: [UnownedJob] = []
    private let remote = Mutex(Remote())

    func open(_ reactor: OpaquePointer) {
        let pointer = UInt(bitPattern: reactor)
        remote.withLock { $0.reactor = OpaquePointer(bitPattern: pointer) }
    }

    /// From here on nothing wakes the C reactor, which may be gone.
    func close() {
        remote.withLock { $0.reactor = nil }
    }

    var hasLocal: Bool { !local.isEmpty }

    func add(_ job: UnownedJob, local isLocal: Bool) {
        if isLocal {
            local.append(job)
        } else {
            remote.withLock {
                $0.jobs.append(job)
                if let reactor = $0.reactor { gw_reactor_wake(reactor) }
            }
        }
    }

    func wake() {
        remote.withLock {
            if let reactor = $0.reactor { gw_reactor_wake(reactor) }
        }
    }

    /// Runs what is there now; what these jobs enqueue is for the next turn, so that sockets are not starved.
    func run(on reactor: Reactor) {
        swap(&running, &local)
        remote.withLock {
            guard !$0.jobs.isEmpty else { return }
            running.append(contentsOf: $0.jobs)
            $0.jobs.removeAll(keepingCapacity: true)
        }
        for job in running {
            job.runSynchronously(
                isolatedTo: reactor.asUnownedSerialExecutor(), taskExecutor: reactor.asUnownedTaskExecutor())
        }
        running.removeAll(keepingCapacity: true)
    }
}
