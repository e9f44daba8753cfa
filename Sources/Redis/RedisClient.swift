// The client: one connection behind one loop thread, made again whenever it is lost.
//
// Commands belong to a session, which is one connection's life. Those of a session are run by the server in the order in
// which they were given, whether anybody waits for them or not, and once one of them is lost no later one succeeds: a
// session ends with its connection, with a vital command that was refused or for which there was no room, and with a
// server that says nothing for too long or is no primary any more. So who has posted a vital command need not wait for it.
import EventLoop
import Logging

/// One connection's life.
public struct RedisSession: Hashable, Sendable {
    let number: UInt64
    /// By which the server knows the configuration's scripts.
    let sums: [RedisScript: [UInt8]]

    public static func == (left: RedisSession, right: RedisSession) -> Bool { left.number == right.number }
    public func hash(into hasher: inout Hasher) { hasher.combine(number) }
}

public enum RedisEvent: Sendable, Equatable {
    case connected(RedisSession)
    /// Told once for each session, after its last answer.
    case disconnected
}

public final class RedisClient: Sendable {
    /// The sessions, from the first one on; for one consumer. Ends with the client.
    public let events: AsyncStream<RedisEvent>
    public let counters = RedisCounters()
    private let mailbox = RedisMailbox()

    /// Connects at once.
    public init(configuration: RedisConfiguration, logger: Logger) {
        let (events, continuation) = AsyncStream.makeStream(of: RedisEvent.self)
        self.events = events
        let (mailbox, counters) = (mailbox, counters)
        let started = Threads.detach { RedisLoop(configuration, logger, mailbox, counters, continuation).run() }
        precondition(started, "no thread left for a Redis client")
    }

    deinit {
        mailbox.post(.shutdown(nil))
    }

    /// Returns when the connection is closed; what was under way has failed.
    public func shutdown() async {
        await withCheckedContinuation { reply in
            if !mailbox.post(.shutdown(reply)) { reply.resume() }
        }
    }

    /// Waits for the answer, but no longer than `patience`, whatever the server does; while answers to others are as late
    /// as that, not at all. Cancelling the task doesn't shorten it.
    public func send(
        _ command: RedisCommand, on session: RedisSession, within patience: Duration
    ) async throws(RedisError) -> RedisReply {
        let result: Result<RedisReply, RedisError> = await withCheckedContinuation { answer in
            if !mailbox.post(.send(command, on: session.number, within: patience, answer)) {
                answer.resume(returning: .failure(.sessionOver))
            }
        }
        return try result.get()
    }

    /// Sends without waiting. If it is vital and fails, for whatever reason, so does everything after it in the session.
    public func post(_ command: RedisCommand, on session: RedisSession, isVital: Bool = false) {
        mailbox.post(.post(command, on: session.number, isVital: isVital))
    }

    /// Ends the session; the next one begins by itself.
    public func end(_ session: RedisSession) {
        mailbox.post(.end(session.number))
    }
}
