// One connection: commands go out in order and their answers come back in order. It knows the wire; when a connection is
// made, and who is told what, is the loop's (RedisLoop.swift). Loop only.
import CRedis
import EventLoop

/// A command under way.
final class PendingCommand {
    enum Purpose {
        /// Nil once its caller has been answered.
        case caller(RedisAnswer?)
        /// Nobody waits for it.
        case posted
        /// Whether the server is there and still the primary.
        case probe
    }

    var purpose: Purpose
    /// Its failure ends the session.
    let isVital: Bool
    let bytes: Int
    let sentAt: ContinuousClock.Instant
    /// When its caller stops waiting.
    let deadline: ContinuousClock.Instant?

    init(
        _ purpose: Purpose, isVital: Bool, bytes: Int, sentAt: ContinuousClock.Instant,
        deadline: ContinuousClock.Instant? = nil
    ) {
        self.purpose = purpose
        self.isVital = isVital
        self.bytes = bytes
        self.sentAt = sentAt
        self.deadline = deadline
    }

    /// The first time; later answers have nobody to go to.
    func answer(_ result: Result<RedisReply, RedisError>) {
        guard case .caller(let reply?) = purpose else { return }
        purpose = .caller(nil)
        reply.resume(returning: result)
    }
}

final class RedisConnection {
    let session: RedisSession
    private let context: UnsafeMutablePointer<redisContext>
    private(set) var inFlight = Fifo<PendingCommand>()
    private(set) var bytesInFlight = 0
    /// hiredis could not send everything yet.
    private(set) var wantsWrite = false
    /// What the poller was last told.
    var watchesWrite = false
    private(set) var isBroken = false
    let openedAt: ContinuousClock.Instant
    /// When the server was last asked whether it is the primary.
    var probedAt: ContinuousClock.Instant

    init(_ opened: OpenedRedis, number: UInt64, now: ContinuousClock.Instant) {
        session = RedisSession(number: number, sums: opened.sums)
        context = opened.take()
        openedAt = now
        probedAt = now
    }

    deinit {
        redisFree(context)
    }

    var descriptor: Int32 { context.pointee.fd }

    /// Into the buffer; `flush` sends it.
    func append(_ command: RedisCommand, _ pending: PendingCommand) {
        let isTaken = command.wire.withUnsafeBytes { bytes in
            redisAppendFormattedCommand(context, bytes.baseAddress, bytes.count) == REDIS_OK
        }
        if !isTaken { isBroken = true }
        inFlight.append(pending)
        bytesInFlight += pending.bytes
    }

    func flush() {
        if isBroken { return }
        var isDone: Int32 = 0
        guard redisBufferWrite(context, &isDone) == REDIS_OK else {
            isBroken = true
            return
        }
        wantsWrite = isDone == 0
    }

    /// Reads what there is; calls `accept` for each answer, in order, until it says that the session is over.
    func receive(_ accept: (PendingCommand, RedisReply) -> Bool) {
        guard !isBroken, redisBufferRead(context) == REDIS_OK else {
            isBroken = true
            return
        }
        while !isBroken {
            var answer: UnsafeMutableRawPointer?
            guard redisGetReplyFromReader(context, &answer) == REDIS_OK else {
                isBroken = true
                return
            }
            guard let answer else { return }
            defer { freeReplyObject(answer) }
            guard let pending = inFlight.popFirst() else {
                isBroken = true
                return
            }
            bytesInFlight -= pending.bytes
            if !accept(pending, RedisReply(answer.assumingMemoryBound(to: redisReply.self))) { isBroken = true }
        }
    }

    func takeUnanswered() -> [PendingCommand] {
        inFlight.removeAll()
    }
}
