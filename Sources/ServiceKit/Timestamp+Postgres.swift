// Instants on their way from Postgres to the contract.
import Foundation
import SwiftProtobuf

extension Google_Protobuf_Timestamp {
    /// Whole microseconds, as Postgres keeps them: a `Date` is a Double, whose last digits would show as noise.
    public init(microsecondsOf date: Date) {
        let microseconds = Int64((date.timeIntervalSince1970 * 1_000_000).rounded())
        // Before 1970 seconds are negative, and nanos still count forward.
        let seconds = Int64((Double(microseconds) / 1_000_000).rounded(.down))
        self.init(seconds: seconds, nanos: Int32(microseconds - seconds * 1_000_000) * 1000)
    }
}
