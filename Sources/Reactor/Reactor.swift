// One gateway thread: the C reactor, the Swift jobs pinned to it, and the loop that turns both.
//
// Not here: what an event means. A `ReactorHandler` drains each batch.
// Thread: a reactor starts its own thread, or is lent one, which makes, turns and ends the C reactor. `enqueue`, `wake`
// and `stop` may be called from anywhere; everything marked "on the reactor" only from the handler or from a job that
// runs here.
import CGateway
import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// What a reactor calls, always on its own thread.
public protocol ReactorHandler: AnyObject, Sendable {
    /// Once, before the first turn; jobs and sends may be made from here on.
    func started(on reactor: Reactor)
    /// Every turn that brought events. Nothing in here may block or suspend.
    func drain(_ batch: borrowing EventBatch, on reactor: Reactor)
    /// Every turn, after the batch and the jobs: what other threads left for this one.
    func turned(on reactor: Reactor)
}

public final class Reactor: TaskExecutor, SerialExecutor, Sendable {
    public let index: Int
    private let jobs = JobQueue()
    private let handle: Handle
    private let stopping = Atomic(false)

    /// The C reactor, which only the reactor's own thread touches, but for gw_reactor_wake.
    private final class Handle: Sendable {
        nonisolated(unsafe) var raw: OpaquePointer?
        /// Written once, before `start` returns.
        nonisolated(unsafe) var carrier: Carrier?
    }

    /// Under this key each reactor's thread keeps the reactor. Not pthread_self, which the optimiser takes for a
    /// constant of a function, even of one that suspends and goes on elsewhere.
    private static let threadKey: pthread_key_t = {
        var key = pthread_key_t()
        precondition(pthread_key_create(&key, nil) == 0, "no thread-specific key left")
        return key
    }()

    /// Starts a thread that listens and turns until `stop`. Returns when the port is open.
    ///
    /// - Parameter joining: false for the first reactor of a process, true for those that share its port.
    public static func start<Handler: ReactorHandler>(
        index: Int, settings: ReactorSettings, address: String, port: UInt16, joining: Bool,
        makeHandler: (Reactor) -> Handler
    ) async throws(GatewayError) -> (reactor: Reactor, port: UInt16, finished: Task<Void, Never>) {
        let reactor = Reactor(index: index)
        let handler = makeHandler(reactor)
        let (opened, openedPort) = AsyncStream.makeStream(of: Result<UInt16, GatewayError>.self)
        let (ended, endedSignal) = AsyncStream.makeStream(of: Never.self)
        let body = ThreadBody {
            reactor.run(settings: settings, address: address, port: port, joining: joining, handler: handler) {
                openedPort.yield($0)
                openedPort.finish()
            }
            endedSignal.finish()
        }
        body.start()
        var outcome: Result<UInt16, GatewayError>?
        for await result in opened { outcome = result }
        let bound = try outcome!.get()
        return (reactor, bound, Task { for await _ in ended {} })
    }

    /// Listens and turns on the calling thread until `stop`: for who has a thread to give. `opened` is told the port.
    public static func run<Handler: ReactorHandler>(
        settings: ReactorSettings, address: String, port: UInt16, handler: Handler, opened: (Reactor, UInt16) -> Void
    ) throws(GatewayError) {
        let reactor = Reactor(index: 0)
        var failure: GatewayError?
        reactor.run(settings: settings, address: address, port: port, joining: false, handler: handler) {
            switch $0 {
            case .success(let port): opened(reactor, port)
            case .failure(let error): failure = error
            }
        }
        if let failure { throw failure }
    }

    private init(index: Int) {
        self.index = index
        handle = Handle()
    }

    /// Ends the loop after the turn under way; connections end without close frames.
    public func stop() {
        stopping.store(true, ordering: .releasing)
        wake()
    }

    /// What carries this reactor's sockets.
    public var carrier: Carrier { handle.carrier.unsafelyUnwrapped }

    // MARK: The loop

    private func run<Handler: ReactorHandler>(
        settings: ReactorSettings, address: String, port: UInt16, joining: Bool, handler: Handler,
        opened: (Result<UInt16, GatewayError>) -> Void
    ) {
        let raw: OpaquePointer
        do throws(GatewayError) {
            raw = try settings.makeReactor()
        } catch {
            opened(.failure(error))
            return
        }
        let bound = gw_reactor_listen(raw, address, port, joining ? 1 : 0)
        guard bound >= 0 else {
            gw_reactor_destroy(raw)
            opened(.failure(GatewayError(bound)))
            return
        }
        handle.raw = raw
        pthread_setspecific(Self.threadKey, Unmanaged.passUnretained(self).toOpaque())
        handle.carrier = Carrier(of: raw)
        jobs.open(raw)
        handler.started(on: self)
        opened(.success(UInt16(bound)))
        while !stopping.load(ordering: .acquiring) {
            turn(raw, handler)
        }
        jobs.close()
        jobs.run(on: self)
        handle.raw = nil
        gw_reactor_destroy(raw)
    }

    @inline(__always)
    private func turn<Handler: ReactorHandler>(_ raw: OpaquePointer, _ handler: Handler) {
        var events: UnsafePointer<gw_event>?
        let count = gw_reactor_turn(raw, jobs.hasLocal ? 0 : UInt64.max, &events)
        precondition(count >= 0, "the reactor's ring failed: \(GatewayError(count))")
        if count > 0, let events {
            handler.drain(EventBatch(UnsafeBufferPointer(start: events, count: Int(count)), raw), on: self)
        }
        jobs.run(on: self)
        handler.turned(on: self)
    }

    // MARK: Jobs

    public func enqueue(_ job: consuming ExecutorJob) {
        jobs.add(UnownedJob(job), local: isOnThread)
    }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    public func checkIsolated() {
        precondition(isOnThread, "not on reactor \(index)'s thread")
    }

    private var isOnThread: Bool {
        pthread_getspecific(Self.threadKey) == UnsafeMutableRawPointer(Unmanaged.passUnretained(self).toOpaque())
    }

    /// The current or the next turn does not wait.
    public func wake() {
        jobs.wake()
    }

    /// New connections get what the files hold now; those that are open keep what they have. After an error all do.
    public func reloadCertificate(_ files: CertificateFiles) async throws(GatewayError) {
        let result = await Task(executorPreference: self) { gw_reactor_reload_tls(self.raw, files.certificate, files.key) }.value
        if result < 0 { throw GatewayError(result) }
    }

    // MARK: On the reactor

    var raw: OpaquePointer {
        guard let raw = handle.raw else { preconditionFailure("reactor \(index) has ended") }
        return raw
    }
}

/// Carries a closure to a thread of its own.
private final class ThreadBody {
    private let body: () -> Void

    init(_ body: @escaping () -> Void) {
        self.body = body
    }

    func start() {
        var thread = pthread_t()
        let made = pthread_create(&thread, nil, runThreadBody, Unmanaged.passRetained(self).toOpaque())
        precondition(made == 0, "no thread left for a reactor")
        pthread_detach(thread)
    }

    func run() {
        body()
    }
}

private func runThreadBody(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    Unmanaged<ThreadBody>.fromOpaque(argument!).takeRetainedValue().run()
    return nil
}
