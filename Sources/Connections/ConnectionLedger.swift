// What is open at a door, and what the requests under way there hold in memory. Called from every event loop; a lock that is
// held for a look-up.
//
// A connection is a stranger until a call over it has shown a valid token. An address has a bounded number of strangers,
// and they together a share of the memory, so that nobody who has not said who they are takes it from those who have.
import Synchronization

public final class ConnectionLedger<Name: Hashable & Sendable>: Sendable {
    /// Bytes of all requests that are being received or answered.
    public static var requestBytesMax: Int { 64 << 20 }
    /// Of these, those of an address' strangers.
    public static var strangerBytesMax: Int { requestBytesMax / 16 }

    private struct Strangers {
        var connections = 0
        var bytes = 0
    }

    private struct Connection {
        /// Whose share it counts in; nil once it is trusted.
        var network: String?
        var bytes = 0
    }

    private struct State {
        var connections: [Name: Connection] = [:]
        var strangers: [String: Strangers] = [:]
        var bytes = 0
        var refused = 0

        mutating func leave(_ connection: Connection) {
            guard let network = connection.network, var share = strangers[network] else { return }
            share.connections -= 1
            share.bytes -= connection.bytes
            strangers[network] = share.connections > 0 ? share : nil
        }
    }

    private let strangersPerAddress: Int
    private let state = Mutex(State())

    /// - Parameter strangersPerAddress: 0: any number, and no share.
    public init(strangersPerAddress: Int) {
        self.strangersPerAddress = strangersPerAddress
    }

    /// False: its address has too many strangers.
    /// - Parameter network: nil for whom no share is kept.
    public func admit(_ connection: Name, network: String?) -> Bool {
        let network = strangersPerAddress == 0 ? nil : network
        return state.withLock { state in
            if let network {
                guard state.strangers[network, default: .init()].connections < strangersPerAddress else {
                    state.refused += 1
                    return false
                }
                state.strangers[network, default: .init()].connections += 1
            }
            state.connections[connection] = Connection(network: network)
            return true
        }
    }

    public func trust(_ connection: Name) {
        state.withLock { state in
            guard let known = state.connections[connection], known.network != nil else { return }
            state.leave(known)
            state.connections[connection]?.network = nil
        }
    }

    public func end(_ connection: Name) {
        state.withLock { state in
            guard let known = state.connections.removeValue(forKey: connection) else { return }
            state.leave(known)
            state.bytes -= known.bytes
        }
    }

    /// Bytes of a request that have arrived. False: no room, and nothing is counted.
    public func take(_ bytes: Int, for connection: Name) -> Bool {
        state.withLock { state in
            guard let known = state.connections[connection], state.bytes + bytes <= Self.requestBytesMax else { return false }
            if let network = known.network {
                let held = state.strangers[network, default: .init()].bytes
                guard held + bytes <= Self.strangerBytesMax else { return false }
                state.strangers[network]?.bytes = held + bytes
            }
            state.connections[connection]?.bytes += bytes
            state.bytes += bytes
            return true
        }
    }

    /// Bytes that were taken, when their call is over. After the connection's end there is nothing to give back.
    public func give(_ bytes: Int, of connection: Name) {
        state.withLock { state in
            guard let known = state.connections[connection] else { return }
            state.connections[connection]?.bytes -= bytes
            state.bytes -= bytes
            if let network = known.network { state.strangers[network]?.bytes -= bytes }
        }
    }

    /// In Prometheus' text format (version 0.0.4).
    /// - Parameter door: "grpc", "http".
    public func metrics(of door: String) -> String {
        let (connections, bytes, refused) = state.withLock { ($0.connections.count, $0.bytes, $0.refused) }
        return """
            # HELP ringway_\(door)_connections Connections to this port.
            # TYPE ringway_\(door)_connections gauge
            ringway_\(door)_connections \(connections)
            # HELP ringway_\(door)_request_bytes Bytes of requests that are counted while they are received and answered.
            # TYPE ringway_\(door)_request_bytes gauge
            ringway_\(door)_request_bytes \(bytes)
            # HELP ringway_\(door)_peers_refused_total Connections to this port over their address's share of strangers.
            # TYPE ringway_\(door)_peers_refused_total counter
            ringway_\(door)_peers_refused_total \(refused)

            """
    }
}
