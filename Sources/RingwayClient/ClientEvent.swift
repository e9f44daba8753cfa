// What a client tells its app, in order, and the queue it waits in.
import Contract

public enum ClientEvent: Sendable, Equatable {
    /// A session has begun; what is missing after resumedFrom is on its way.
    case connected(resumedFrom: Int64)
    /// The connection is gone. The client connects again by itself after retryIn.
    case disconnected(reason: String, retryIn: Duration)
    /// The next entry of the user's log. Seqs rise by one from event to event, counting sent and gap.
    case event(RingwayClient.Event)
    /// A message that this client sent is committed; its place in the log is sent.seq.
    case sent(RingwayClient.Sent)
    /// These seqs are no longer in the log.
    case gap(from: Int64, to: Int64)
    /// The end: this client does not connect again. code is the WebSocket close code (docs/protocol.md).
    case closed(code: Int, reason: String)

    /// The app has everything up to here once it has handled this event: what to store, and to give to
    /// RingwayClient.connect(since:) in the next run.
    public var seq: Int64? {
        switch self {
        case .event(let event): event.seq
        case .sent(let sent): sent.seq
        case .gap(_, let to): to
        case .connected, .disconnected, .closed: nil
        }
    }
}

/// A client's events, for one consumer. While the consumer is behind by more than a thousand, the client reads no
/// more from its socket.
public struct ClientEvents: AsyncSequence, Sendable {
    let client: RingwayClient

    public struct AsyncIterator: AsyncIteratorProtocol {
        let client: RingwayClient

        public mutating func next() async -> ClientEvent? {
            await client.nextEvent()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(client: client)
    }
}

/// First in, first out, both in constant time on average.
struct Fifo<Element> {
    private var incoming: [Element] = []
    /// Reversed, so that the oldest is the last.
    private var outgoing: [Element] = []

    var count: Int { incoming.count + outgoing.count }

    mutating func append(_ element: Element) {
        incoming.append(element)
    }

    mutating func popFirst() -> Element? {
        if outgoing.isEmpty {
            outgoing = incoming.reversed()
            incoming.removeAll(keepingCapacity: true)
        }
        return outgoing.popLast()
    }
}
