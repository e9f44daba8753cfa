// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore
import ServiceKit

extension ProfileError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .noSuchUser, .noSuchAvatar: .notFound
        case .outdated, .outdatedSettings: .aborted
        case .aheadOfSettings: .outOfRange
        case .busy, .queryTooCommon: .resourceExhausted
        case .pictureFailed: .internalError
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let field, let rule): "\(field) \(rule)"
        case .noSuchUser: "no such user"
        case .noSuchAvatar: "no such avatar"
        case .outdated: "the profile has changed meanwhile; read it again"
        case .outdatedSettings: "the settings have changed meanwhile; read them again"
        case .aheadOfSettings(let version): "since_version is ahead of the newest, \(version)"
        case .queryTooCommon: "so many nicknames are like the query that it has to be longer"
        case .busy: "too many pictures wait; try again"
        case .pictureFailed: "internal error"
        }
    }

    var rpcErrorMetadata: Metadata {
        switch self {
        case .busy(let delay): .retry(after: delay)
        case .invalid(let field, _): .fault(of: field)
        case .outdated, .outdatedSettings: .fault(of: "expected_version")
        case .aheadOfSettings: .fault(of: "since_version")
        case .queryTooCommon: .fault(of: "query")
        default: [:]
        }
    }
}
