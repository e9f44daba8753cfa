// How a service writes to users' logs: through the inbox schema's function, in the transaction that makes the change.
import Contract
import Postgres
import SwiftProtobuf

extension PostgresQuery {
    /// Appends one event to the log of each user. Run it last in the transaction: from here to the commit the heads
    /// of these logs are locked, in the order of user ids, so whoever locks anything else locks it before.
    public static func appendToInbox(_ events: [Int64: Ringway_V1_Event]) throws -> PostgresQuery {
        let owners = Array(events.keys)
        let payloads: [[UInt8]] = try events.values.map { try $0.serializedBytes() }
        return "SELECT inbox.append(\(owners), \(payloads))"
    }
}
