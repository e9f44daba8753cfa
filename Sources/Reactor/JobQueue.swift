// The Swift jobs of one reactor. Jobs enqueued on the reactor's own thread go to a list that needs no lock; jobs from
// elsewhere go to a locked one that is taken whole, once a turn. Neither has a bound, because `enqueue` must never
// block: a running job enqueues on its own thread. What bounds them is that each belongs to a bounded operation.
// A turn without jobs costs two loads.
import CGateway
import Synchronization

final class JobQueue: Sendable {
    private struct Remote: ~Copyable {
        var jobs: [UnownedJob] = []
        var reactor: OpaquePointer?
    }

    private struct Own {
        var waiting: [UnownedJob] = []
        var running: [UnownedJob] = []
    }

    /// Only the reactor's thread touches these; behind a pointer, so that nothing checks that at run time.
    private nonisolated(unsafe) let own: UnsafeMutablePointer<Own>
    private let remote = Mutex(Remote())
    /// Set with each remote job, before the wake that makes the next turn see it.
    private let remoteWaits = Atomic(false)

    init() {
        own = .allocate(capacity: 1)
        own.initialize(to: Own())
    }

    deinit {
        own.deinitialize(count: 1)
        own.deallocate()
    }

    func open(_ reactor: OpaquePointer) {
        let pointer = UInt(bitPattern: reactor)
        remote.withLock { $0.reactor = OpaquePointer(bitPattern: pointer) }
    }

    /// From here on nothing wakes the C reactor, which may be gone.
    func close() {
        remote.withLock { $0.reactor = nil }
    }

    var hasLocal: Bool { !own.pointee.waiting.isEmpty }

    func add(_ job: UnownedJob, local isLocal: Bool) {
        if isLocal {
            own.pointee.waiting.append(job)
        } else {
            remote.withLock {
                $0.jobs.append(job)
                remoteWaits.store(true, ordering: .releasing)
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
        if hasLocal || remoteWaits.load(ordering: .acquiring) { runAll(on: reactor) }
    }

    private func runAll(on reactor: Reactor) {
        swap(&own.pointee.running, &own.pointee.waiting)
        remote.withLock {
            own.pointee.running.append(contentsOf: $0.jobs)
            $0.jobs.removeAll(keepingCapacity: true)
            remoteWaits.store(false, ordering: .relaxed)
        }
        for job in own.pointee.running {
            job.runSynchronously(
                isolatedTo: reactor.asUnownedSerialExecutor(), taskExecutor: reactor.asUnownedTaskExecutor())
        }
        own.pointee.running.removeAll(keepingCapacity: true)
    }
}
