// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore

extension ProfileError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .noSuchUser, .noSuchAvatar: .notFound
        case .outdated, .outdatedSettings: .aborted
        case .busy: .resourceExhausted
        case .pictureFailed: .internalError
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let violation): violation
        case .noSuchUser: "no such user"
        case .noSuchAvatar: "no such avatar"
        case .outdated: "the profile has changed meanwhile; read it again"
        case .outdatedSettings: "the settings have changed meanwhile; read them again"
        case .busy: "too many pictures wait; try again"
        case .pictureFailed: "internal error"
        }
    }

    var rpcErrorMetadata: Metadata {
        guard case .busy(let retryAfter) = self else { return [:] }
        let parts = retryAfter.components
        let milliseconds = parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000
        return ["retry-after-ms": "\(max(1, milliseconds))"]
    }
}
