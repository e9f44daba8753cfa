// Which method may be called by whom. Default deny: a method that is not listed is served to nobody, and a test
// holds this list against the contract.
import GRPCCore

public enum Access: Sendable {
    /// No token needed: these are how one gets a token.
    case anyone
    /// A valid access token of a device that is logged in.
    case user
    /// Other services of this installation, never a client.
    case service
}

public enum AccessPolicy {
    public static let methods: [String: Access] = [
        "ringway.v1.AuthService/Register": .anyone,
        "ringway.v1.AuthService/LogIn": .anyone,
        "ringway.v1.AuthService/Refresh": .anyone,
        "ringway.v1.AuthService/ListKeys": .anyone,
        "ringway.v1.AuthService/LogOut": .user,
        "ringway.v1.AuthService/LogOutOthers": .user,
        "ringway.v1.AuthService/ListDevices": .user,
        "ringway.v1.AuthService/RenameDevice": .user,
        "ringway.v1.AuthService/RevokeDevice": .user,
        "ringway.v1.AuthService/ChangePassword": .user,
        "ringway.v1.AuthService/ChangeEmail": .user,
        "ringway.v1.AuthService/GetAccount": .user,
        "ringway.v1.AuthService/DeleteAccount": .user,
        "ringway.v1.AuthService/ExportData": .user,
        "ringway.v1.AuthService/VerifyToken": .service,
        "ringway.v1.AuthService/ListRevokedKeys": .service,
        "ringway.v1.AuthService/FindEndedDevices": .service,
        "ringway.v1.ProfileService/GetProfile": .user,
        "ringway.v1.ProfileService/GetMyProfile": .user,
        "ringway.v1.ProfileService/GetProfiles": .user,
        "ringway.v1.ProfileService/UpdateMyProfile": .user,
        "ringway.v1.ProfileService/SearchProfiles": .user,
        "ringway.v1.ProfileService/SetMyAvatar": .user,
        "ringway.v1.ProfileService/RemoveMyAvatar": .user,
        "ringway.v1.ProfileService/GetAvatar": .anyone,
        "ringway.v1.ProfileService/RecordLastSeen": .service,
        "ringway.v1.SettingsService/GetSettings": .user,
        "ringway.v1.SettingsService/UpdateSettings": .user,
        "ringway.v1.SettingsService/CheckAudience": .service,
        "ringway.v1.FriendshipService/RequestFriend": .user,
        "ringway.v1.FriendshipService/ListFriendRequests": .user,
        "ringway.v1.FriendshipService/AcceptFriendRequest": .user,
        "ringway.v1.FriendshipService/RejectFriendRequest": .user,
        "ringway.v1.FriendshipService/ListFriends": .user,
        "ringway.v1.FriendshipService/RemoveFriend": .user,
        "ringway.v1.FriendshipService/WithdrawFriendRequest": .user,
        "ringway.v1.FriendshipService/UpdateFriend": .user,
        "ringway.v1.FriendshipService/ListFriendGroups": .user,
        "ringway.v1.FriendshipService/CreateFriendGroup": .user,
        "ringway.v1.FriendshipService/RenameFriendGroup": .user,
        "ringway.v1.FriendshipService/ReorderFriendGroups": .user,
        "ringway.v1.FriendshipService/DeleteFriendGroup": .user,
        "ringway.v1.FriendshipService/BlockUser": .user,
        "ringway.v1.FriendshipService/UnblockUser": .user,
        "ringway.v1.FriendshipService/ListBlocks": .user,
        "ringway.v1.FriendshipService/ListRelationChanges": .user,
        "ringway.v1.FriendshipService/GetRelations": .service,
        "ringway.v1.InboxService/ReadInbox": .user,
        "ringway.v1.InboxService/ListCursors": .service,
        "ringway.v1.GatewayService/LocateGateway": .user,
        "grpc.health.v1.Health/Check": .anyone,
        "grpc.health.v1.Health/List": .anyone,
        "grpc.health.v1.Health/Watch": .anyone,
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": .anyone,
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": .anyone,
    ]

    public static func access(to method: MethodDescriptor) -> Access? {
        methods[method.fullyQualifiedMethod]
    }
}
