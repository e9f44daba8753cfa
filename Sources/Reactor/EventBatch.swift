// What one turn brought. Everything in here is borrowed from the C reactor until the batch has been drained.
import CGateway

public struct ConnectionID: Hashable, Sendable {
    public let raw: UInt64

    public init(raw: UInt64) {
        self.raw = raw
    }

    /// An index that no other open connection of the same reactor has.
    public var slot: Int { Int(UInt32(truncatingIfNeeded: raw)) }
}

public enum MessageKind: UInt8, Sendable {
    case text = 1
    case binary = 2
}

/// One turn's events, in order for each connection.
///
/// Unchecked Sendable, so that a handler that is an actor on the reactor can be entered with it (`assumeIsolated`). It
/// is only ever lent for the length of a call, so it can't reach another thread.
public struct EventBatch: ~Copyable, @unchecked Sendable {
    private let events: UnsafeBufferPointer<gw_event>
    private let reactor: OpaquePointer

    init(_ events: UnsafeBufferPointer<gw_event>, _ reactor: OpaquePointer) {
        self.events = events
        self.reactor = reactor
    }

    public var count: Int { events.count }

    @inline(__always)
    public func forEach(_ body: (borrowing Event) -> Void) {
        for index in events.indices {
            body(Event(events.baseAddress! + index, reactor))
        }
    }
}

public struct Event: ~Copyable {
    public enum Kind: UInt8, Sendable {
        /// The handshake was answered; the payload is the Authorization header's value.
        case opened = 1
        /// A whole message; text is valid UTF-8.
        case message = 2
        /// The id is stale from here on.
        case closed = 3
        /// A queue that had refused a send has room again.
        case writable = 4
    }

    private let event: UnsafePointer<gw_event>
    private let reactor: OpaquePointer

    @inline(__always)
    init(_ event: UnsafePointer<gw_event>, _ reactor: OpaquePointer) {
        self.event = event
        self.reactor = reactor
    }

    public var connection: ConnectionID { ConnectionID(raw: event.pointee.conn) }
    public var kind: Kind { Kind(rawValue: event.pointee.kind).unsafelyUnwrapped }
    public var messageKind: MessageKind { event.pointee.opcode == UInt8(GW_TEXT.rawValue) ? .text : .binary }

    /// opened: the index of the agreed subprotocol in the settings, nil if none was.
    public var subprotocol: Int? {
        event.pointee.subprotocol == UInt8(GW_NO_SUBPROTOCOL) ? nil : Int(event.pointee.subprotocol)
    }

    /// closed: the close code of RFC 6455 section 7.4.
    public var closeCode: UInt16 { event.pointee.code }

    /// The payload where it lies; the pointer must not leave the closure.
    @inline(__always)
    public func withPayload<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(payload)
    }

    @inline(__always)
    var payload: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: event.pointee.data, count: Int(event.pointee.length))
    }

    /// message: queues it to its own connection, as it came. The core's result.
    @inline(__always)
    func sendBack() -> Int32 {
        gw_conn_forward(reactor, event.pointee.conn, event)
    }

    /// A copy that may live for ever.
    public func copyPayload() -> [UInt8] {
        [UInt8](payload)
    }

    /// Keeps the payload past the turn without copying it. Nil when the core can spare no buffer: copy then.
    public func leasePayload() -> PayloadLease? {
        guard let lease = gw_payload_acquire(reactor, event) else { return nil }
        return PayloadLease(lease, payload, reactor)
    }
}

/// A payload held past its turn. It goes back to the reactor when this value ends, which must happen on the reactor's
/// thread and before the reactor stops.
public struct PayloadLease: ~Copyable {
    private let lease: OpaquePointer
    private let bytes: UnsafeRawBufferPointer
    private let reactor: OpaquePointer

    init(_ lease: OpaquePointer, _ bytes: UnsafeRawBufferPointer, _ reactor: OpaquePointer) {
        self.lease = lease
        self.bytes = bytes
        self.reactor = reactor
    }

    public var count: Int { bytes.count }

    public borrowing func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(bytes)
    }

    deinit {
        gw_payload_release(reactor, lease)
    }
}
