// Sending and closing. On the reactor only.
import CGateway

/// What became of a frame that was to be queued.
public enum SendOutcome: Sendable {
    /// It leaves with the turn.
    case queued
    /// The connection's queue is full (or the reactor's memory is): a writable event follows. Nothing was queued.
    case full
    /// The connection has ended or is closing, or the frame is larger than any buffer: it can never be sent.
    case gone
}

extension Reactor {
    @inline(__always)
    public func send(_ bytes: UnsafeRawBufferPointer, as kind: MessageKind, to connection: ConnectionID) -> SendOutcome {
        let data = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
        return outcome(gw_conn_send(raw, connection.raw, kind == .text ? GW_TEXT : GW_BINARY, data, UInt64(bytes.count)))
    }

    /// Echoes an event's payload.
    @inline(__always)
    public func sendBack(_ event: borrowing Event) -> SendOutcome {
        outcome(event.sendBack())
    }

    @inline(__always)
    func outcome(_ result: Int32) -> SendOutcome {
        switch result {
        case 0: .queued
        case Int32(GW_EFULL.rawValue), Int32(GW_ENOBUFS.rawValue): .full
        default: .gone
        }
    }

    /// Starts the close handshake after what is queued.
    public func close(_ connection: ConnectionID, code: UInt16, reason: String) {
        _ = gw_conn_close(raw, connection.raw, code, reason)
    }

    /// The connection is closed when its peer is silent for this long; nil: never.
    public func setIdleLimit(_ limit: Duration?, of connection: ConnectionID) {
        let milliseconds = limit.map { UInt32(clamping: $0.wholeMilliseconds) } ?? 0
        _ = gw_conn_set_idle(raw, connection.raw, milliseconds)
    }

    /// The connection has shown who it is: it counts no longer towards `ReactorSettings.untrustedPerPeerMax`.
    public func trust(_ connection: ConnectionID) {
        _ = gw_conn_trust(raw, connection.raw)
    }

    /// Whose an opened connection is, until it is trusted: 2^32 + an IPv4 address, or the upper half of an IPv6 address,
    /// `UInt64.max` for that of ::1. Nil when nobody knows.
    public func peer(of connection: ConnectionID) -> UInt64? {
        let peer = gw_conn_peer(raw, connection.raw)
        return peer == 0 ? nil : peer
    }

    public func stopListening() {
        gw_reactor_stop_listening(raw)
    }

    public var statistics: ReactorStatistics {
        var stats = gw_stats()
        gw_reactor_stats(raw, &stats)
        return ReactorStatistics(
            connections: stats.connections, accepted: stats.accepted, handshakesFailed: stats.handshakes_failed,
            peersRefused: stats.peers_refused, peersDisplaced: stats.peers_displaced,
            messagesIn: stats.messages_in, messagesOut: stats.messages_out, bytesIn: stats.bytes_in,
            bytesOut: stats.bytes_out, turns: stats.turns, systemCalls: stats.syscalls, poolBytes: stats.pool_bytes,
            gatheredBytes: stats.gathered_bytes, bytesInflated: stats.bytes_inflated)
    }
}

/// Since the start, but for connections, poolBytes and gatheredBytes (of them, in messages not yet whole), which are now.
public struct ReactorStatistics: Sendable {
    public let connections, accepted, handshakesFailed, peersRefused, peersDisplaced: UInt64
    public let messagesIn, messagesOut, bytesIn, bytesOut: UInt64
    public let turns, systemCalls, poolBytes, gatheredBytes, bytesInflated: UInt64
}
