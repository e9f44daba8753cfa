// What a listener hears, and the loop's account of one listener. A listener has a connection of its own, outside of the
// pool, and keeps it up by itself.

/// One step of a channel's story.
public enum PostgresNotification: Sendable, Equatable {
    /// LISTEN is in force: at the start, after each reconnect, and after a consumer was so slow that the oldest
    /// notifications had to go. Whatever came before may have been missed: look for yourself once.
    case connected
    /// The connection is lost; nothing is heard until the next `connected`.
    case disconnected
    case notification(String)
}

/// Loop only; the transitions are in Pool+Listeners.swift.
final class Listener {
    enum Phase {
        case connecting
        case waiting(until: ContinuousClock.Instant)
        case connected(Link, nextProbe: ContinuousClock.Instant)
    }

    /// Notifications that wait for the consumer.
    static let backlog = 1024

    let id: ListenerID
    let channel: String
    var phase: Phase = .connecting
    var failures = 0
    private let events: AsyncStream<PostgresNotification>.Continuation

    init(_ id: ListenerID, channel: String, events: AsyncStream<PostgresNotification>.Continuation) {
        self.id = id
        self.channel = channel
        self.events = events
    }

    var link: Link? {
        if case .connected(let link, _) = phase { link } else { nil }
    }

    /// `LISTEN "channel"`, the one statement that can't take its argument as a parameter.
    var statement: PostgresQuery {
        let quoted = channel.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
        return PostgresQuery(sql: "LISTEN \"\(quoted)\"")
    }

    func yield(_ event: PostgresNotification) {
        // After a loss the next connection says `connected` anyway, and not before it is there.
        if case .dropped = events.yield(event), case .notification = event { events.yield(.connected) }
    }

    func finish() {
        events.finish()
    }
}
