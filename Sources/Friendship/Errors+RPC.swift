// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore
import ServiceKit

extension FriendshipError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid: .invalidArgument
        case .noSuchUser, .noSuchRequest, .noSuchFriend, .noSuchGroup, .noSuchBlock: .notFound
        case .alreadyFriends, .groupNameTaken: .alreadyExists
        case .blockedByCaller: .failedPrecondition
        case .limit: .resourceExhausted
        case .aheadOfVersion: .outOfRange
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let field, let rule): "\(field) \(rule)"
        case .noSuchUser: "no such user"
        case .alreadyFriends: "you are friends already"
        case .noSuchRequest: "no such pending request"
        case .noSuchFriend: "no such friend"
        case .noSuchGroup: "no such friend group"
        case .groupNameTaken: "you have a friend group of this name"
        case .noSuchBlock: "you have not blocked this user"
        case .blockedByCaller: "you have blocked this user; unblock them first"
        case .limit(let reached): reached
        case .aheadOfVersion(let version): "since_version is ahead of the newest, \(version)"
        }
    }

    var rpcErrorMetadata: Metadata {
        switch self {
        case .invalid(let field, _): .fault(of: field)
        case .groupNameTaken: .fault(of: "name")
        case .aheadOfVersion: .fault(of: "since_version")
        default: [:]
        }
    }
}
