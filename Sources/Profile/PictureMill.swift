// Makes avatars of pictures, on threads of its own: decoding sixteen million pixels takes a core for a good part of a
// second, which would starve every other task on Swift's pool. Each thread works on one picture at a time, so there are
// never more decoded ones in memory than threads (64 MiB each at most); the queue before them is bounded, and who finds
// it full is told when to come back.
//
// The queue belongs to a mutex. A thread sleeps on the semaphore, which counts the jobs, and ends when the mill does.
import Crypto
import Dispatch
import Foundation
import Synchronization

/// An avatar as it is kept: WebP in two sizes, named by the hash of the larger one.
struct AvatarPicture: Equatable, Sendable {
    static let contentType = "image/webp"
    static let largeSide = 512
    static let smallSide = 128

    let hash: [UInt8]
    let large: [UInt8]
    let small: [UInt8]

    init(of image: Data, _ header: PictureHeader) throws(ProfileError) {
        let square = try Picture(decoding: image, header).square(side: Self.largeSide).upright(header.orientation)
        large = try square.webp()
        small = try square.square(side: Self.smallSide).webp()
        hash = Array(SHA256.hash(data: large))
    }

    /// The hash as a profile shows it.
    static func text(_ hash: some Collection<UInt8>) -> String {
        hash.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    /// Lower case only: a picture has one address.
    static func hash(_ text: String) -> [UInt8]? {
        let bytes = Array(text.utf8)
        guard bytes.count == 64 else { return nil }
        let digits = bytes.map { byte -> UInt8? in
            switch byte {
            case 48...57: byte - 48
            case 97...102: byte - 87
            default: nil
            }
        }
        guard digits.allSatisfy({ $0 != nil }) else { return nil }
        return stride(from: 0, to: 64, by: 2).map { (digits[$0] ?? 0) << 4 | (digits[$0 + 1] ?? 0) }
    }
}

public final class PictureMill: Sendable {
    private let queue: MillQueue

    public init(threads: Int, queueLimit: Int) {
        precondition(threads > 0 && queueLimit > 0, "a mill needs a thread and room for a picture")
        queue = MillQueue(limit: queueLimit)
        for _ in 0..<threads {
            Thread.detachNewThread { [queue] in
                while let job = queue.next() { job() }
            }
        }
        self.threads = threads
    }

    private let threads: Int

    deinit {
        queue.close(threads)
    }

    /// Throws `.busy` at once when the queue is full. A job whose task is cancelled while it waits is never begun.
    func avatar(from image: Data, _ header: PictureHeader) async throws -> AvatarPicture {
        let isCancelled = CancelledFlag()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { reply in
                let isQueued = queue.add {
                    if isCancelled.isSet { return reply.resume(throwing: CancellationError()) }
                    reply.resume(with: Result { try AvatarPicture(of: image, header) })
                }
                if !isQueued { reply.resume(throwing: ProfileError.busy(retryAfter: .seconds(1))) }
            }
        } onCancel: {
            isCancelled.set()
        }
    }
}

private final class CancelledFlag: Sendable {
    private let value = Atomic(false)

    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

private final class MillQueue: Sendable {
    typealias Job = @Sendable () -> Void

    private let limit: Int
    private let waiting = Mutex<[Job]>([])
    private let available = DispatchSemaphore(value: 0)

    init(limit: Int) {
        self.limit = limit
    }

    /// False: too many wait.
    func add(_ job: @escaping Job) -> Bool {
        let isQueued = waiting.withLock { waiting in
            guard waiting.count < limit else { return false }
            waiting.append(job)
            return true
        }
        if isQueued { available.signal() }
        return isQueued
    }

    /// The next job, waiting for one; nil when there will be none.
    func next() -> Job? {
        available.wait()
        return waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() }
    }

    /// One signal for each thread beyond those for the jobs: it finds the queue empty and ends.
    func close(_ threads: Int) {
        for _ in 0..<threads { available.signal() }
    }
}
