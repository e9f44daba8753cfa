// What other threads leave for a reactor: taken whole, once a turn. The reactor is woken only when the box was empty.
// Bounds: each delivery stems from a message that the log writer's bounded queue let through, or from a notification.
import Contract
import Inbox
import Synchronization

enum Delivery: Sendable {
    /// An event that has just been committed, for all sessions of a user but one.
    case event(user: Int64, LogEvent, except: SessionID?)
    /// The answer to a send.
    case answer(to: SessionID, clientID: String, Result<Appended, InboxWriter.Failure>)
    /// Someone else appended to a user's log, at least up to seq.
    case hint(user: Int64, seq: Int64)
    /// To whom this user may write has changed, and no log says so.
    case permissions(user: Int64)
    /// Something of a user changed that others' sends may depend on, wherever the user is connected.
    case changed(user: Int64)
    /// Nothing that these keys have signed counts any more.
    case keysRevoked(Set<String>)
    /// A device has ended, and with it its sockets.
    case deviceEnded(user: Int64, device: Int64)
    /// Word of ended devices may have been lost: ask for all that are here.
    case devicesMayHaveEnded
    /// Hints may have been lost: look at the heads of all logs that are open here.
    case hintsLost
}

final class Mailbox: Sendable {
    private let deliveries = Mutex<[Delivery]>([])
    private let wake: @Sendable () -> Void

    init(wake: @escaping @Sendable () -> Void) {
        self.wake = wake
    }

    func post(_ delivery: Delivery) {
        let wasEmpty = deliveries.withLock {
            $0.append(delivery)
            return $0.count == 1
        }
        if wasEmpty { wake() }
    }

    func take() -> [Delivery] {
        deliveries.withLock { deliveries in
            guard !deliveries.isEmpty else { return [] }
            defer { deliveries = [] }
            return deliveries
        }
    }
}
