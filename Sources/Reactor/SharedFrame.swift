// A frame that is encoded once and sent by many connections. On the reactor only.
import CGateway

/// One encoded frame in a counted buffer of its reactor; a connection that it was queued to holds a count, not a copy.
/// This value's own count ends with it, which must happen on the reactor's thread and before the reactor stops.
public struct SharedFrame: ~Copyable {
    fileprivate let frame: OpaquePointer
    private let reactor: OpaquePointer

    fileprivate init(_ frame: OpaquePointer, of reactor: OpaquePointer) {
        self.frame = frame
        self.reactor = reactor
    }

    deinit {
        gw_frame_release(reactor, frame)
    }
}

extension Reactor {
    /// Nil when the core has no buffer for it now, or never one that large: `send` tells which.
    public func makeFrame(_ bytes: UnsafeRawBufferPointer, as kind: MessageKind) -> SharedFrame? {
        var frame: OpaquePointer?
        let data = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        let result = gw_frame_create(raw, kind == .text ? GW_TEXT : GW_BINARY, data, UInt64(bytes.count), &frame)
        guard result == 0, let frame else { return nil }
        return SharedFrame(frame, of: raw)
    }

    /// Queues the frame as it is: a connection that compresses what is sent to it alone gets it uncompressed.
    public func send(_ frame: borrowing SharedFrame, to connection: ConnectionID) -> SendOutcome {
        outcome(gw_conn_send_frame(raw, connection.raw, frame.frame))
    }
}
