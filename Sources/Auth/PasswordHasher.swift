// argon2id on threads of its own: a hash takes a core for some 50 ms, which would starve every other task on Swift's
// pool. The queue before the threads is bounded; who finds it full is told when to come back.
//
// The queue belongs to a mutex. A thread sleeps on the semaphore, which counts the jobs, and ends when the hasher does.
// It compares no secrets itself: argon2's verify does, in constant time.
import CArgon2
import Crypto
import Dispatch
import Foundation
import Synchronization

public final class PasswordHasher: Sendable {
    private static let niceness: Int32 = 10

    private let queue: HashQueue
    private let argon2: Argon2

    public init(threads: Int, queueLimit: Int, cost: HashCost = HashCost()) {
        precondition(threads > 0 && queueLimit > 0, "a hasher needs a thread and room for a password")
        queue = HashQueue(threads: threads, limit: queueLimit)
        argon2 = Argon2(cost: cost)
        for _ in 0..<threads {
            Thread.detachNewThread { [queue] in
                // On Linux this is the thread's alone. Hashes take what other work leaves of the cores, and never wait
                // for long: log-ins that come in crowds slow each other down, and nobody else.
                setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
                while let job = queue.next() { queue.finish(job) }
            }
        }
    }

    deinit {
        queue.close()
    }

    /// A new salt and the hash, in argon2's encoded form.
    func hash(_ password: Password) async throws -> String {
        try await run { [argon2] in try argon2.hash(password.bytes) }
    }

    /// Whether the password is the one of an encoded hash. Without one it takes just as long to say no.
    func matches(_ password: Password, _ encoded: String?) async throws -> Bool {
        try await run { [argon2] in try argon2.matches(password.bytes, encoded ?? argon2.nobody) }
    }

    /// Whether a hash was made at another cost than new ones are.
    func isOutdated(_ encoded: String) -> Bool {
        !encoded.hasPrefix(argon2.prefix)
    }

    /// Throws `.busy` at once when the queue is full. A job whose task is cancelled while it waits is never begun.
    private func run<Output: Sendable>(_ work: @escaping @Sendable () throws -> Output) async throws -> Output {
        let cancellation = Flag()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { reply in
                let refusal = queue.add {
                    reply.resume(
                        with: cancellation.isSet ? .failure(CancellationError()) : Result(catching: work))
                }
                if let refusal { reply.resume(throwing: refusal) }
            }
        } onCancel: {
            cancellation.set()
        }
    }
}

private final class Flag: Sendable {
    private let value = Atomic(false)

    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

private final class HashQueue: Sendable {
    typealias Job = @Sendable () -> Void

    private struct State {
        var waiting: [Job] = []
        var running = 0
        /// What a job takes, averaged over the last few; it starts with a guess.
        var duration: Duration = .milliseconds(50)
    }

    private let threads: Int
    private let limit: Int
    private let state = Mutex(State())
    private let available = DispatchSemaphore(value: 0)

    init(threads: Int, limit: Int) {
        self.threads = threads
        self.limit = limit
    }

    /// Queues a job, or says why not.
    func add(_ job: @escaping Job) -> AuthError? {
        let refusal: AuthError? = state.withLock { state in
            guard state.waiting.count < limit else {
                return .busy(retryAfter: state.duration * (state.waiting.count + state.running) / threads)
            }
            state.waiting.append(job)
            return nil
        }
        if refusal == nil { available.signal() }
        return refusal
    }

    /// The next job, waiting for one; nil when there will be none.
    func next() -> Job? {
        available.wait()
        return state.withLock { state in
            if state.waiting.isEmpty { return nil }
            state.running += 1
            return state.waiting.removeFirst()
        }
    }

    func finish(_ job: Job) {
        let start = ContinuousClock.now
        job()
        let elapsed = ContinuousClock.now - start
        state.withLock { state in
            state.running -= 1
            state.duration = (state.duration * 7 + elapsed) / 8
        }
    }

    /// One signal for each thread beyond those for the jobs: it finds the queue empty and ends.
    func close() {
        for _ in 0..<threads { available.signal() }
    }
}

/// libargon2 at a given cost.
private struct Argon2 {
    private static let hashBytes = 32

    let cost: HashCost

    /// How the encoded form begins.
    var prefix: String { "$argon2id$v=19$m=\(cost.kibibytes),t=\(cost.passes),p=\(cost.lanes)$" }

    /// Stands in for the hash of a user who does not exist: same cost, matched by no password that anyone could find.
    var nobody: String { prefix + "AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }

    func hash(_ password: [UInt8]) throws(AuthError) -> String {
        let salt = SymmetricKey(size: .bits128)
        let length = argon2_encodedlen(
            cost.passes, cost.kibibytes, cost.lanes, UInt32(salt.bitCount / 8), UInt32(Self.hashBytes), Argon2_id)
        var encoded = [CChar](repeating: 0, count: length)
        let status = salt.withUnsafeBytes { salt in
            argon2id_hash_encoded(
                cost.passes, cost.kibibytes, cost.lanes, password, password.count, salt.baseAddress, salt.count,
                Self.hashBytes, &encoded, encoded.count)
        }
        guard status == ARGON2_OK.rawValue else { throw .hashingFailed }
        return encoded.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    func matches(_ password: [UInt8], _ encoded: String) throws(AuthError) -> Bool {
        switch argon2id_verify(encoded, password, password.count) {
        case ARGON2_OK.rawValue: true
        case ARGON2_VERIFY_MISMATCH.rawValue: false
        default: throw .hashingFailed
        }
    }
}
